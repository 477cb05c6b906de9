"""huey on SQLite or Redis. `BENCH_HUEY_FSYNC=default` leaves SQLite's default, a disk sync at every commit."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.port import BROKER, DATA, RESULTS, Arguments, Calls, Port

if TYPE_CHECKING:
    from collections.abc import Iterable


# Installed in the peer's own environment only, so it has no types here.
_huey: Any = importlib.import_module("huey")

if BROKER:
    app = _huey.RedisHuey("bench", url=BROKER, results=RESULTS)
else:
    app = _huey.SqliteHuey(
        "bench",
        filename=str(DATA / "huey.db"),
        results=RESULTS,
        fsync=None if os.environ.get("BENCH_HUEY_FSYNC") == "default" else False,
    )

_tasks = {function.__name__: app.task()(function) for function in (work.noop, work.value, work.stamp)}


class HueyPort:
    """Call the task; huey has no way to send many at once."""

    def send_each(self, task: str, calls: Iterable[Arguments]) -> None:
        send = _tasks[task]
        for args in calls:
            send(*args)

    def send_many(self, task: str, calls: Calls) -> None:
        self.send_each(task, calls)

    def send_later(self, task: str, calls: Iterable[Arguments], seconds: float) -> None:
        send = _tasks[task].schedule
        for args in calls:
            send(args, delay=seconds)

    def call(self, task: str, number: int) -> int:
        return int(_tasks[task](number).get(blocking=True, timeout=30))


port: Port = HueyPort()
