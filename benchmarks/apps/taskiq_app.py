"""taskiq on a Redis stream."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.port import BROKER, RESULTS, Calls, Port

if TYPE_CHECKING:
    from collections.abc import Coroutine

# Installed in the peer's own environment only, so it has no types here.
_taskiq_redis: Any = importlib.import_module("taskiq_redis")

broker = _taskiq_redis.RedisStreamBroker(url=BROKER)
if RESULTS:
    broker = broker.with_result_backend(_taskiq_redis.RedisAsyncResultBackend(redis_url=BROKER))

_tasks = {function.__name__: broker.task(function) for function in (work.noop, work.value, work.stamp, work.nap)}


class TaskiqPort:
    """kiq; many by gathering a hundred at a time."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._started = False

    def _run(self, work_to_do: Coroutine[Any, Any, Any]) -> Any:
        if not self._started:
            self._runner.run(broker.startup())
            self._started = True
        return self._runner.run(work_to_do)

    def send_each(self, task: str, calls: Calls) -> None:
        async def send() -> None:
            for args in calls:
                await _tasks[task].kiq(*args)

        self._run(send())

    def send_many(self, task: str, calls: Calls) -> None:
        async def send() -> None:
            for start in range(0, len(calls), 100):
                await asyncio.gather(*(_tasks[task].kiq(*args) for args in calls[start : start + 100]))

        self._run(send())

    def send_later(self, task: str, calls: Calls, seconds: float) -> None:
        raise NotImplementedError("taskiq keeps future tasks in a scheduler of its own")

    def call(self, task: str, number: int) -> int:
        async def call() -> Any:
            sent = await _tasks[task].kiq(number)
            return (await sent.wait_result(timeout=30)).return_value

        return int(self._run(call()))


port: Port = TaskiqPort()
