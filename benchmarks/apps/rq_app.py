"""RQ on Redis."""

from __future__ import annotations

import importlib
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.port import BROKER, RESULTS, Arguments, Calls, Port

if TYPE_CHECKING:
    from collections.abc import Iterable


# Installed in the peer's own environment only, so it has no types here.
_redis: Any = importlib.import_module("redis")
_rq: Any = importlib.import_module("rq")

_connection = _redis.Redis.from_url(BROKER or "redis://localhost")
_queue = _rq.Queue("bench", connection=_connection)
_tasks = {function.__name__: function for function in (work.noop, work.value, work.stamp)}
_ttl = 500 if RESULTS else 0


class RQPort:
    """enqueue, enqueue_many, enqueue_in."""

    def send_each(self, task: str, calls: Iterable[Arguments]) -> None:
        for args in calls:
            _queue.enqueue(_tasks[task], *args, result_ttl=_ttl)

    def send_many(self, task: str, calls: Calls) -> None:
        for start in range(0, len(calls), 1000):
            part = calls[start : start + 1000]
            _queue.enqueue_many([_rq.Queue.prepare_data(_tasks[task], args=args, result_ttl=_ttl) for args in part])

    def send_later(self, task: str, calls: Iterable[Arguments], seconds: float) -> None:
        for args in calls:
            _queue.enqueue_in(timedelta(seconds=seconds), _tasks[task], *args, result_ttl=_ttl)

    def call(self, task: str, number: int) -> int:
        job = _queue.enqueue(_tasks[task], number, result_ttl=_ttl)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            result = job.latest_result(timeout=1)
            if result is not None:
                return int(result.return_value)
        raise TimeoutError(f"no result of {task}({number}) within 30 s")


port: Port = RQPort()
