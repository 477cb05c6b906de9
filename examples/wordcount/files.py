"""Which files to count: text, not hidden, not huge. Knows nothing of tasks."""

import os
from pathlib import Path

#: Bytes; larger files are left out.
MAX_SIZE = 2 * 1024 * 1024
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "build", "dist"})
_SAMPLE = 4096


def find_text_files(folder: Path, limit: int) -> list[str]:
    """Up to `limit` text files below `folder`, sorted by path. Links to folders are not followed."""
    found: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            path = Path(parent, name)
            if name[0] != "." and _is_text(path):
                found.append(str(path))
                if len(found) == limit:
                    return found
    return found


def _is_text(path: Path) -> bool:
    """A file of bearable size whose beginning holds no zero byte, as git tells text from binary."""
    try:
        if not path.is_file() or not 0 < path.stat().st_size <= MAX_SIZE:
            return False
        with path.open("rb") as file:
            return b"\0" not in file.read(_SAMPLE)
    except OSError:  # vanished, or not ours to read: nothing to count
        return False
