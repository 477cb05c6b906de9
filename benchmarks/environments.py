"""A virtual environment for each peer, under `.venvs/bench`, made once for each set of requirements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: The root of the repository.
ROOT: Final = Path(__file__).resolve().parent.parent
#: Where all that the benchmark installs or writes lives; ignored by git.
HOME: Final = ROOT / ".venvs" / "bench"


def variables(**more: str) -> dict[str, str]:
    """This process's environment variables without those that change how Python or a task queue works.

    `PYTHONDONTWRITEBYTECODE`, for one, would have Celeriac compiled at every start and the installed peers not.
    """
    foreign = ("PYTHON", "CELERY", "CELERIAC", "BENCH_", "PYTEST")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | more


@dataclass(frozen=True)
class Environment:
    """An installed virtual environment."""

    path: Path

    @property
    def python(self) -> str:
        return str(self.path / "bin" / "python")

    def program(self, name: str) -> str:
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


def ensure(name: str, requirements: tuple[str, ...]) -> Environment:
    """The environment `name` with `requirements` in it; made anew when they have changed.

    Raises:
        RuntimeError: pip could not install them; its last lines are in the message.
    """
    path = HOME / name
    mark = path / "requirements.txt"
    wanted = "\n".join((sys.version, *requirements))
    if mark.exists() and mark.read_text() == wanted:
        return Environment(path)
    print(f"installing {' '.join(requirements)} into .venvs/bench/{name} ...", file=sys.stderr, flush=True)
    venv.create(path, clear=True, with_pip=True)
    arguments = [
        str(path / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    done = subprocess.run(
        [*arguments, *requirements], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"pip install {' '.join(requirements)} failed: {done.stderr[-500:]}")
    mark.write_text(wanted)
    return Environment(path)
