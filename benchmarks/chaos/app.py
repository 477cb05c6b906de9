"""Celeriac's app that is killed: tasks that write to the journal."""

from __future__ import annotations

from benchmarks.chaos import tasks
from celeriac import Celeriac


def build(
    broker: str,
    *,
    lease_seconds: float,
    max_deliveries: int,
    backend: str | None = "disabled://",
    queue_type: str = "quorum",
) -> Celeriac:
    """An app on `broker`; without a `backend`, results are stored beside the messages."""
    app = Celeriac("chaos", broker=broker, backend=backend)
    app.conf.update(
        worker_lease_seconds=lease_seconds, task_max_deliveries=max_deliveries, task_default_queue_type=queue_type
    )
    app.task(name=tasks.HOLD)(tasks.hold)
    app.task(name=tasks.POISON)(tasks.poison)
    return app
