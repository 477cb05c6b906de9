"""A task that always kills its process, among many good ones."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.chaos import journal
from benchmarks.chaos.app import HOLD, POISON, build
from benchmarks.chaos.fleet import Fleet
from celeriac import Celeriac
from celeriac.message import DeadLetter

_NUMBER: Final = 1_000_000
_LEASE: Final = 10.0


@dataclass(frozen=True)
class Verdict:
    """What became of the poison and of the good tasks.

    Attributes:
        good: good tasks published.
        missing: good tasks without their effect.
        good_second_runs: starts beyond the first of each good task.
        poison_runs: starts of the poison.
        dead_letters: how many there are in the end.
        reason: of the poison's dead letter; empty when there is none.
        losses: lines of its history.
        seconds: the whole run.
    """

    good: int
    missing: int
    good_second_runs: int
    poison_runs: int
    dead_letters: int
    reason: str
    losses: int
    seconds: float


def _dead_letters(app: Celeriac) -> list[DeadLetter]:
    return asyncio.run(app.broker.dead_letters())


def run(folder: Path, *, good: int = 200, max_deliveries: int = 3, limit: float = 60.0) -> Verdict:
    """Publish `good` tasks with the poison in their midst; one worker of two processes runs them.

    Raises:
        RuntimeError: the worker ended by itself.
    """
    began = time.monotonic()
    app = build(folder, lease_seconds=_LEASE, max_deliveries=max_deliveries)
    half = good // 2
    app.tasks[HOLD].delay_many((number, 0.01) for number in range(half))
    app.tasks[POISON].delay(_NUMBER)
    app.tasks[HOLD].delay_many((number, 0.01) for number in range(half, good))
    fleet = Fleet(folder, 1, lease_seconds=_LEASE, max_deliveries=max_deliveries)
    try:
        until = began + limit
        while time.monotonic() < until:
            fleet.check()
            if len(journal.ended(folder / "journal")) == good and _dead_letters(app):
                break
            time.sleep(0.1)
        fleet.stop()
    except BaseException:
        fleet.abandon()
        raise
    runs = journal.read(folder / "journal")
    letters = _dead_letters(app)
    good_runs = [run for run in runs if run.number != _NUMBER]
    return Verdict(
        good=good,
        missing=good - len({run.number for run in good_runs if run.ended is not None}),
        good_second_runs=len(good_runs) - len({run.number for run in good_runs}),
        poison_runs=len(runs) - len(good_runs),
        dead_letters=len(letters),
        reason=letters[0].reason if letters else "",
        losses=len(letters[0].history) if letters else 0,
        seconds=time.monotonic() - began,
    )
