"""Where the benchmark keeps what it installs, and with which variables its processes run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from scripts import environments
from scripts.environments import ROOT, Environment
from scripts.test_pythons import find_pythons

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["HOME", "ROOT", "Environment", "ensure", "variables"]

#: Where all that the benchmark installs or writes lives; ignored by git.
HOME: Final[Path] = environments.HOME / "bench"


def variables(**more: str) -> dict[str, str]:
    """This process's environment variables without those that change how Python or a task queue works.

    `PYTHONDONTWRITEBYTECODE`, for one, would have Celeriac compiled at every start and the installed peers not.
    """
    foreign = ("PYTHON", "CELERY", "CELERIAC", "BENCH_", "PYTEST")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | more


def ensure(name: str, requirements: tuple[str, ...], python: tuple[int, int] | None = None) -> Environment:
    """The peer's environment `name` with `requirements` in it.

    Args:
        name: its folder under `HOME`.
        requirements: what pip shall install.
        python: the oldest Python that will do; None: the one that runs this.

    Raises:
        RuntimeError: pip could not install them, or there is no such Python here.
    """
    return environments.ensure(HOME / name, requirements, python=_interpreter(python) if python else None)


def _interpreter(oldest: tuple[int, int]) -> str | None:
    """The newest Python of this machine that is not older than `oldest`; None when the running one will do."""
    if sys.version_info[:2] >= oldest:
        return None
    found = [each for each in find_pythons() if each.version[:2] >= oldest and not each.free_threaded]
    if not found:
        raise RuntimeError(f"no Python {oldest[0]}.{oldest[1]} or newer on this machine")
    return str(found[-1].path)
