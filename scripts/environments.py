"""Virtual environments for programs that are measured or tested against: made once for each set of requirements.

They live under `.venvs`, which git ignores, and are no dependencies of the package. Several processes may ask for one
at the same time. Knows nothing of what is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The root of the repository.
ROOT: Final = Path(__file__).resolve().parent.parent
#: Where environments live.
HOME: Final = ROOT / ".venvs"


@dataclass(frozen=True)
class Environment:
    """An installed virtual environment."""

    path: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return self.program("python")

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.path / "bin" / name)

    def versions(self) -> dict[str, str]:
        """All installed distributions."""
        listing = subprocess.run(
            [self.python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
            capture_output=True,
            check=True,
            text=True,
        )
        return {item["name"]: item["version"] for item in json.loads(listing.stdout)}


def ensure(
    path: Path, requirements: tuple[str, ...], *, timeout: float = 600.0, python: str | None = None
) -> Environment:
    """The environment at `path` with `requirements` in it; made anew when they have changed.

    Args:
        path: its folder.
        requirements: what pip shall install.
        timeout: seconds for pip, and for waiting until another process has made it.
        python: the interpreter it is made with; None: the one that runs this.

    Raises:
        RuntimeError: it could not be made in this time; pip's last lines are in the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.with_name(path.name + ".lock"), timeout):
        mark = path / "requirements.txt"
        wanted = "\n".join((python or sys.version, *requirements))
        if not mark.exists() or mark.read_text() != wanted:
            print(f"installing {' '.join(requirements)} into {path.relative_to(ROOT)} ...", file=sys.stderr, flush=True)
            _install(path, requirements, timeout, python or sys.executable)
            mark.write_text(wanted)
    return Environment(path)


def _install(path: Path, requirements: tuple[str, ...], timeout: float, python: str) -> None:
    pip = [str(path / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    what = f"pip install {' '.join(requirements)}"
    try:
        subprocess.run([python, "-m", "venv", "--clear", path], check=True, capture_output=True, timeout=timeout)
        done = subprocess.run(
            [*pip, *requirements], cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"{what} failed: {error}") from error
    if done.returncode:
        raise RuntimeError(f"{what} failed: {done.stderr[-500:]}")


@contextlib.contextmanager
def _alone(lock: Path, timeout: float) -> Iterator[None]:
    """No other process is in this block meanwhile. The lock ends with its process, however that ends."""
    until = time.monotonic() + timeout
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise RuntimeError(f"another process has kept {lock.name} locked for {timeout:.0f} s") from error
                time.sleep(0.1)
        yield
