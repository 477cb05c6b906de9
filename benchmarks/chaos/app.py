"""The app that is killed: tasks that write to the journal."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from benchmarks.chaos.journal import note
from celeriac import Celeriac

HOLD = "chaos.hold"
POISON = "chaos.poison"


def build(folder: Path, *, lease_seconds: float, max_deliveries: int) -> Celeriac:
    """An app whose database and journal are in `folder`."""
    app = Celeriac("chaos", broker=f"sqlite:///{folder / 'chaos.sqlite3'}", backend="disabled://")
    app.conf.update(worker_lease_seconds=lease_seconds, task_max_deliveries=max_deliveries)
    journal = folder / "journal"

    @app.task(name=HOLD)
    def hold(number: int, seconds: float) -> None:
        note(journal, "S", number)
        time.sleep(seconds)
        note(journal, "E", number)

    @app.task(name=POISON)
    def poison(number: int) -> None:
        note(journal, "S", number)
        os.kill(os.getpid(), signal.SIGKILL)

    return app
