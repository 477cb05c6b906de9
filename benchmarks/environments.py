"""Where the benchmark keeps what it installs, and with which variables its processes run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from scripts import environments
from scripts.environments import ROOT, Environment

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


def ensure(name: str, requirements: tuple[str, ...]) -> Environment:
    """The peer's environment `name` with `requirements` in it.

    Raises:
        RuntimeError: pip could not install them; its last lines are in the message.
    """
    return environments.ensure(HOME / name, requirements)
