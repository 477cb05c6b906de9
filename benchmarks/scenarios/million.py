"""A million tasks in the store: queued, and due in an hour."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.harness import BenchError, Place
from benchmarks.scenarios.base import Metric, Scenario, Subject, redis_of

_SMALL: Final = 10_000
_LARGE: Final = 1_000_000
#: Of the long queue, so many are drained.
_FIRST: Final = 30_000


def _rates(here: Place, count: int, marks: tuple[int, ...]) -> list[float]:
    """Queue `count` tasks; the rates of the first so many of them."""
    here.client("many", task="noop", count=count, timeout=600)
    rates = []
    with here.worker() as worker:
        for mark in marks:
            if not here.wait(min(mark, count), worker, limit=60):
                raise BenchError(f"only {here.board.totals().done} of {mark} tasks ran within 60 s")
            rates.append(here.board.totals().rate)
    return rates


def _queued(subject: Subject) -> dict[str, float]:
    large = int(_LARGE * subject.scale)
    with subject.place() as here:
        [small] = _rates(here, _SMALL, (_SMALL,))
    with subject.place() as here:
        same, more = _rates(here, large, (_SMALL, _FIRST))
    return {"small": small, "same": same, "more": more, "kept": 100 * same / small}


def _future(subject: Subject) -> dict[str, float]:
    count = int(_LARGE * subject.scale)
    with subject.place() as here, here.ready_worker() as worker:
        server = redis_of(here)
        worker_before, server_before = worker.pss(), server.memory()
        sent = here.client("later_many", task="noop", count=count, countdown=3600, timeout=600)
        worker.wait_quiet(30)
        cpu = worker.cpu()
        time.sleep(2)
        return {
            "enqueue": count / sent["seconds"],
            "bytes": (server.memory() - server_before) / count,
            "before": worker_before,
            "added": worker.pss() - worker_before,
            "idle_cpu": 100 * (worker.cpu() - cpu) / 2,
        }


MILLION: Final = Scenario(
    "million",
    "Drain with 10,000 and with 1,000,000 queued",
    (
        Metric("small", "rate of 10,000 that are all", "tasks/s", "higher"),
        Metric("same", "rate of the first 10,000 of 1,000,000", "tasks/s", "higher"),
        Metric("more", "rate of the first 30,000 of 1,000,000", "tasks/s", "higher"),
        Metric("kept", "second in per cent of the first", "%", "higher", compared=False),
    ),
    _queued,
    frozenset(("million",)),
)
MILLION_FUTURE: Final = Scenario(
    "million-future",
    "1,000,000 tasks that are due in an hour, beside a running worker",
    (
        Metric("enqueue", "enqueue them in bulk", "tasks/s", "higher"),
        Metric("bytes", "memory in Redis", "bytes/task", "lower"),
        Metric("before", "worker's PSS before", "MiB", "lower"),
        Metric("added", "PSS added", "MiB", "lower", compared=False),
        Metric("idle_cpu", "worker's CPU at rest", "%", "lower", compared=False),
    ),
    _future,
    frozenset(("million",)),
)
