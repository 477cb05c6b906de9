"""What the tasks do, in every task queue alike. Needs nothing but the standard library and the environment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

from benchmarks.chaos.journal import note

HOLD: Final = "chaos.hold"
POISON: Final = "chaos.poison"


def task_id(number: int) -> str:
    """The id of a task; it can be found again in what a broker keeps."""
    return f"chaos-{number}"


def number_of(task_id: str) -> int:
    """The inverse of `task_id`."""
    return int(task_id.removeprefix("chaos-"))


def _journal() -> Path:
    return Path(os.environ["CHAOS_FOLDER"]) / "journal"


def _worker() -> int:
    return int(os.environ.get("CHAOS_WORKER", "0"))


def hold(number: int, seconds: float) -> None:
    """Take so many seconds."""
    note(_journal(), "S", number, _worker())
    time.sleep(seconds)
    note(_journal(), "E", number, _worker())


def poison(number: int) -> None:
    """Kill the process that runs this."""
    note(_journal(), "S", number, _worker())
    os.kill(os.getpid(), signal.SIGKILL)
