"""taskiq on a Redis stream."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.async_port import AsyncPort, use_uvloop
from benchmarks.apps.port import BROKER, RESULTS, Arguments, Port

if TYPE_CHECKING:
    from collections.abc import Callable

use_uvloop()
# Installed in the peer's own environment only, so it has no types here.
_taskiq_redis: Any = importlib.import_module("taskiq_redis")

broker = _taskiq_redis.RedisStreamBroker(url=BROKER)
if RESULTS:
    broker = broker.with_result_backend(_taskiq_redis.RedisAsyncResultBackend(redis_url=BROKER))


def _task(function: Callable[..., Any]) -> Any:
    return broker.task(work.as_coroutine(function))


_tasks = {function.__name__: _task(function) for function in (work.noop, work.value, work.stamp)}
_tasks["nap"] = broker.task(work.nap)


class TaskiqPort(AsyncPort):
    """kiq; taskiq has no way to send many at once, and keeps future tasks in a scheduler of its own."""

    async def open(self) -> None:
        await broker.startup()

    async def send(self, task: str, args: Arguments) -> Any:
        return await _tasks[task].kiq(*args)

    async def defer(self, task: str, args: Arguments, seconds: float) -> None:
        raise NotImplementedError("taskiq keeps future tasks in a scheduler of its own")

    async def ask(self, task: str, number: int) -> int:
        sent = await self.send(task, (number,))
        return int((await sent.wait_result(timeout=30, check_interval=0.001)).return_value)


port: Port = TaskiqPort()
