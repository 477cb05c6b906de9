"""What a worker of two processes takes, at rest and after work, and with much future work stored."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.scenarios.base import Metric, Scenario, Subject
from benchmarks.scenarios.drain import drain


def _memory(subject: Subject) -> dict[str, float]:
    count = subject.count(10_000)
    with subject.place() as here, here.ready_worker() as worker:
        idle = worker.pss()
        here.client("many", task="noop", count=count)
        here.wait(count, worker, limit=30)
        time.sleep(0.5)
        return {"idle": idle, "after": worker.pss()}


def _future(subject: Subject) -> dict[str, float]:
    future, due = subject.count(100_000), subject.count(10_000)
    with subject.place() as here:
        with here.ready_worker() as worker:
            before = worker.pss()
            sent = here.client("later", task="noop", count=future, countdown=3600)
            worker.wait_quiet(45)
            after, cpu = worker.pss(), worker.cpu()
            time.sleep(2)
            idle_cpu = (worker.cpu() - cpu) / 2
        rate = drain(here, "noop", due)["rate"]
    return {
        "enqueue": future / sent["seconds"],
        "before": before,
        "added": after - before,
        "idle_cpu": 100 * idle_cpu,
        "rate": rate,
    }


MEMORY: Final = Scenario(
    "memory",
    "Memory (PSS) of a worker of two processes, supervisor included",
    (
        Metric("idle", "at rest", "MiB", "lower"),
        Metric("after", "after 10,000 tasks", "MiB", "lower"),
    ),
    _memory,
)
FUTURE: Final = Scenario(
    "future",
    "100,000 tasks that are due in an hour",
    (
        Metric("enqueue", "enqueue them, one by one", "tasks/s", "higher"),
        Metric("before", "PSS before", "MiB", "lower"),
        Metric("added", "PSS added", "MiB", "lower", compared=False),
        Metric("idle_cpu", "CPU at rest", "%", "lower", compared=False),
        Metric("rate", "drain of 10,000 others", "tasks/s", "higher"),
    ),
    _future,
    frozenset(("future",)),
)
