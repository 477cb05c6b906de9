"""Celeriac, as the environment describes it."""

from __future__ import annotations

import os

from benchmarks.chaos import tasks
from benchmarks.chaos.app import build

app = build(
    os.environ["CHAOS_BROKER"],
    lease_seconds=float(os.environ["CHAOS_LEASE_SECONDS"]),
    max_deliveries=int(os.environ["CHAOS_MAX_DELIVERIES"]),
    backend=os.environ["CHAOS_BACKEND"] or None,
    queue_type=os.environ["CHAOS_QUEUE_TYPE"],
)


def send(first: int, count: int, seconds: float) -> None:
    """Publish tasks numbered from `first`."""
    hold = app.tasks[tasks.HOLD]
    app.publish_many(
        hold.s(number, seconds).set(task_id=tasks.task_id(number)) for number in range(first, first + count)
    )
