"""How fast one process sends tasks; no worker runs."""

from __future__ import annotations

from typing import Final

from benchmarks.scenarios.base import Metric, Scenario, Subject


def _run(subject: Subject) -> dict[str, float]:
    figures = {}
    for operation, full in (("each", 5_000), ("many", 30_000)):
        with subject.place() as here:
            count = subject.count(full)
            answer = here.client(operation, task="noop", count=count, warm=1)
            figures[operation] = count / answer["seconds"]
            if "p50" in answer:
                figures["p50"] = answer["p50"] * 1e6
    return figures


ENQUEUE: Final = Scenario(
    "enqueue",
    "Enqueue from one process, no worker",
    (
        Metric("each", "one by one (5,000)", "tasks/s", "higher"),
        Metric("p50", "one by one, p50", "us", "lower"),
        Metric("many", "in bulk (30,000)", "tasks/s", "higher"),
    ),
    _run,
)
