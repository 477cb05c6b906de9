"""Run the tests on every Python from 3.11 on that this machine has, each in an environment of its own.

Interpreters come from the path (`python3.11`, `python3.13t`, ...) and from pyenv's folder of versions. Of
each minor version, with and without the GIL, the newest is taken. The environments stay under `.venvs/`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
_NAME = re.compile(r"python3\.\d+t?")
_ASK = """
import json, sys, sysconfig
print(json.dumps([list(sys.version_info[:3]), bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                  sys.implementation.name]))
"""


class Python(NamedTuple):
    """One interpreter.

    Attributes:
        version: major, minor, micro.
        free_threaded: built without the GIL.
        path: its executable.
    """

    version: tuple[int, int, int]
    free_threaded: bool
    path: Path

    @property
    def name(self) -> str:
        """`3.13`, or `3.13t` for a free-threaded build."""
        return f"{self.version[0]}.{self.version[1]}{'t' if self.free_threaded else ''}"


def candidates() -> list[Path]:
    """Every file on this machine that may be a Python."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    roots = [Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()]
    roots += [folder.parent for folder in folders if folder.name == "shims"]
    found = [path for folder in folders for path in _children(folder) if _NAME.fullmatch(path.name)]
    for root in roots:
        found += [version / "bin" / "python" for version in _children(root / "versions")]
    return found


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # a folder on the path need not exist
        return []


def identify(path: Path) -> Python | None:
    """Ask the interpreter what it is; None if it does not answer, is too old or is not CPython."""
    try:
        answer = subprocess.run([path, "-I", "-c", _ASK], capture_output=True, text=True, timeout=20, check=True)
        version, free_threaded, implementation = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):  # a pyenv shim of a version that is not active
        return None
    if implementation != "cpython" or tuple(version) < OLDEST:
        return None
    return Python((version[0], version[1], version[2]), free_threaded, path)


def find_pythons() -> list[Python]:
    """The newest of each minor version, oldest first."""
    newest: dict[str, Python] = {}
    for path in candidates():
        python = identify(path)
        if python is not None and (python.name not in newest or newest[python.name].version < python.version):
            newest[python.name] = python
    return sorted(newest.values())


def install(python: Python) -> Path:
    """Make or reuse the environment; returns its interpreter."""
    folder = ROOT / ".venvs" / python.name
    wanted = f"{python.version} {python.path}\n{(ROOT / 'pyproject.toml').read_text()}"
    stamp = folder / f".installed-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    interpreter = folder / "bin" / "python"
    if not stamp.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python.path, "-m", "venv", folder], check=True)
        pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--editable", ".[test]"]
        subprocess.run(pip, check=True, cwd=ROOT)
        stamp.touch()
    return interpreter


def run_tests(python: Python, arguments: list[str]) -> str:
    """Install and test; returns how it ended, in words."""
    start = time.monotonic()
    try:
        interpreter = install(python)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"INSTALL FAILED: {error}"
    chosen = ["-m", "not chaos and not long", "-n", "2", "-p", "no:cacheprovider"]
    command = [str(interpreter), "-m", "pytest", "-q", *chosen]
    code = subprocess.run([*command, *arguments], cwd=ROOT, check=False).returncode
    seconds = round(time.monotonic() - start)
    return f"passed in {seconds} s" if code == 0 else f"FAILED with exit code {code} after {seconds} s"


def main() -> int:
    """Test them all and say how each ended; 1 if any failed or none was found."""
    pythons = find_pythons()
    if not pythons:
        print("No CPython 3.11 or newer was found on the path or in pyenv's folder.")
        return 1
    print("Found:", ", ".join(f"{python.name} ({python.path})" for python in pythons), flush=True)
    endings: dict[str, str] = {}
    for python in pythons:
        print(f"\n== Python {python.name}", flush=True)
        endings[python.name] = run_tests(python, sys.argv[1:])
    print("\nTests on every Python of this machine:")
    for python in pythons:
        version = ".".join(map(str, python.version))
        print(f"  {python.name:<6} {version:<8} {endings[python.name]}")
    return 0 if all(ending.startswith("passed") for ending in endings.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
