"""Celery on Redis or RabbitMQ; `CHAOS_CELERY` holds settings as JSON."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

from benchmarks.chaos import tasks

# Installed in the peer's own environment only, so it has no types here.
_celery: Any = importlib.import_module("celery")

app = _celery.Celery("chaos", broker=os.environ["CHAOS_BROKER"])
app.conf.broker_connection_retry_on_startup = True
app.conf.update(json.loads(os.environ["CHAOS_CELERY"]))
_hold = app.task(name=tasks.HOLD, ignore_result=True)(tasks.hold)


def send(first: int, count: int, seconds: float) -> None:
    """Publish tasks numbered from `first`."""
    for number in range(first, first + count):
        _hold.apply_async((number, seconds), task_id=tasks.task_id(number))
