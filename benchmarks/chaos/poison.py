"""A task that always kills its process, among many good ones."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.chaos import journal
from benchmarks.chaos.fleet import Fleet
from benchmarks.chaos.rabbit import RabbitServer
from benchmarks.chaos.server import RedisServer
from benchmarks.chaos.systems import CELERIAC, Scene, System
from benchmarks.chaos.tasks import HOLD, POISON
from celeriac import Celeriac
from celeriac.message import DeadLetter

_NUMBER: Final = 1_000_000
_LIMIT: Final = 60.0


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

    def faults(self) -> list[str]:
        """What Celeriac promises and has not kept; empty when all is well."""
        missing = [f"{self.missing} good tasks are missing"] if self.missing else []
        return missing + ([] if self.dead_letters == 1 else [f"{self.dead_letters} dead letters instead of one"])


def _publish(app: Celeriac, good: int) -> None:
    half = good // 2
    app.tasks[HOLD].delay_many((number, 0.01) for number in range(half))
    app.tasks[POISON].delay(_NUMBER)
    app.tasks[HOLD].delay_many((number, 0.01) for number in range(half, good))


def _dead_letters(app: Celeriac) -> list[DeadLetter]:
    return asyncio.run(app.broker.dead_letters())


def run_on_sqlite(folder: Path, *, good: int = 200) -> Verdict:
    """Publish `good` tasks with the poison in their midst; one worker of two processes runs them.

    Raises:
        RuntimeError: the worker ended by itself.
    """
    return _run(_scene(folder, f"sqlite:///{folder / 'chaos.sqlite3'}"), good)


def run_on_redis(folder: Path, *, good: int = 200) -> Verdict:
    """The same on a Redis server of its own.

    Raises:
        RuntimeError: there is no server, or the worker ended by itself.
    """
    with RedisServer(folder, fsync="everysec") as server:
        return _run(_scene(folder, server.url), good)


def run_on_rabbitmq(folder: Path, *, good: int = 200, system: System = CELERIAC) -> Verdict:
    """The same on a RabbitMQ node of its own.

    Raises:
        RuntimeError: there is no server, or the worker ended by itself.
    """
    with RabbitServer(folder) as server:
        return _run(_scene(folder, server.url, system), good)


def _scene(folder: Path, broker: str, system: System = CELERIAC) -> Scene:
    return Scene(folder, system, broker, max_deliveries=3)


def _run(scene: Scene, good: int) -> Verdict:
    began = time.monotonic()
    path = scene.folder / "journal"
    with scene.app() as app:
        _publish(app, good)
        with Fleet(scene, 1) as fleet:
            while time.monotonic() < began + _LIMIT:
                fleet.check()
                if len(journal.ended(path)) == good and _dead_letters(app):
                    break
                time.sleep(0.1)
            fleet.stop()
        letters = _dead_letters(app)
    runs = journal.read(path)
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
