"""How fast one process sends tasks; no worker runs."""

from __future__ import annotations

from typing import Final

from benchmarks.harness import place
from benchmarks.scenarios.base import Metric, Scenario, Subject


def _run(subject: Subject) -> dict[str, float]:
    rates = {}
    for operation, full in (("each", 5_000), ("many", 30_000)):
        with place(subject.peer, subject.environment) as here:
            here.client("each", task="noop", count=1)  # files and tables are made here
            count = subject.count(full)
            rates[operation] = count / here.client(operation, task="noop", count=count)["seconds"]
    return rates


ENQUEUE: Final = Scenario(
    "enqueue",
    "Enqueue from one process, no worker",
    (
        Metric("each", "one by one (5,000)", "tasks/s", "higher"),
        Metric("many", "in bulk (30,000)", "tasks/s", "higher"),
    ),
    _run,
)
