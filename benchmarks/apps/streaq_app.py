"""streaq on Redis streams."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.async_port import CHUNK, AsyncPort, use_uvloop
from benchmarks.apps.port import BROKER, RESULTS, Arguments, Port

if TYPE_CHECKING:
    from collections.abc import Sequence

use_uvloop()
# Installed in the peer's own environment only, so it has no types here.
_streaq: Any = importlib.import_module("streaq")

#: A result stays for so many seconds.
_TTL = 300 if RESULTS else 0

worker = _streaq.Worker(redis_url=BROKER or "redis://localhost", anyio_kwargs={"use_uvloop": True})
_tasks = {
    function.__name__: worker.task(name=function.__name__, ttl=_TTL, silent=True)(work.as_coroutine(function))
    for function in (work.noop, work.value, work.stamp)
}


class StreaqPort(AsyncPort):
    """enqueue, enqueue_many, start(delay=...)."""

    async def open(self) -> None:
        await worker.__aenter__()  # ends with the process

    async def send(self, task: str, args: Arguments) -> Any:
        return await _tasks[task].enqueue(*args)

    async def send_all(self, task: str, calls: Sequence[Arguments]) -> None:
        enqueue = _tasks[task].enqueue
        for start in range(0, len(calls), CHUNK):
            await worker.enqueue_many([enqueue(*args) for args in calls[start : start + CHUNK]])

    async def defer(self, task: str, args: Arguments, seconds: float) -> None:
        await _tasks[task].enqueue(*args).start(delay=seconds)

    async def ask(self, task: str, number: int) -> int:
        sent = await self.send(task, (number,))
        return int((await sent.result(timeout=30)).result)


port: Port = StreaqPort()
