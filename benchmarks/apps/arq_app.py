"""arq on Redis."""

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
_arq: Any = importlib.import_module("arq")
_connections: Any = importlib.import_module("arq.connections")

_address = _connections.RedisSettings.from_dsn(BROKER or "redis://localhost")
#: For `--custom-log-dict`: no line for each job, as with the other peers.
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"arq": {"level": "WARNING"}}}


def _task(function: Callable[..., int | None]) -> Any:
    """arq gives a context first."""

    async def run(_context: Any, *args: int) -> int | None:
        return function(*args)

    return _arq.func(run, name=function.__name__, keep_result=300 if RESULTS else 0)


class Settings:
    """What arq's command reads."""

    functions = tuple(_task(function) for function in (work.noop, work.value, work.stamp))
    redis_settings = _address
    max_jobs = 100


class ArqPort(AsyncPort):
    """enqueue_job; arq has no way to send many at once."""

    async def open(self) -> None:
        self._pool = await _arq.create_pool(_address)

    async def send(self, task: str, args: Arguments) -> Any:
        return await self._pool.enqueue_job(task, *args)

    async def defer(self, task: str, args: Arguments, seconds: float) -> None:
        await self._pool.enqueue_job(task, *args, _defer_by=seconds)

    async def ask(self, task: str, number: int) -> int:
        sent = await self.send(task, (number,))
        return int(await sent.result(timeout=30, poll_delay=0.001))


port: Port = ArqPort()
