"""SAQ on Redis."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.async_port import AsyncPort, use_uvloop
from benchmarks.apps.port import BROKER, RESULTS, Arguments, Port

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

use_uvloop()
# Installed in the peer's own environment only, so it has no types here.
_saq: Any = importlib.import_module("saq")

#: A job's record stays for so many seconds; -1 deletes it when it has run.
_TTL = 600 if RESULTS else -1


def _task(function: Callable[..., int | None]) -> Callable[..., Coroutine[None, None, int | None]]:
    """SAQ gives a context and keyword arguments only."""

    async def run(_context: Any, *, args: list[int]) -> int | None:
        return function(*args)

    run.__qualname__ = run.__name__ = function.__name__
    return run


queue = _saq.Queue.from_url(BROKER or "redis://localhost")
settings = {
    "queue": queue,
    "functions": [_task(function) for function in (work.noop, work.value, work.stamp)],
    "concurrency": 32,
}


class SaqPort(AsyncPort):
    """enqueue, job.refresh; SAQ has no way to send many at once but `map`, which waits for results."""

    async def open(self) -> None:
        await queue.connect()

    async def send(self, task: str, args: Arguments) -> Any:
        return await queue.enqueue(task, args=args, ttl=_TTL)

    async def defer(self, task: str, args: Arguments, seconds: float) -> None:
        await queue.enqueue(task, args=args, ttl=_TTL, scheduled=time.time() + seconds)

    async def ask(self, task: str, number: int) -> int:
        job = await self.send(task, (number,))
        async with asyncio.timeout(30):
            while not job.completed:
                with contextlib.suppress(TimeoutError):  # it may end before SAQ listens, which then waits in vain
                    await job.refresh(until_complete=1)
        return int(job.result)


port: Port = SaqPort()
