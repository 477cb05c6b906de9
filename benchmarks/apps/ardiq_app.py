"""ArdiQ on Redis streams."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.async_port import CHUNK, AsyncPort, use_uvloop
from benchmarks.apps.port import BROKER, RESULTS, Arguments, Port

if TYPE_CHECKING:
    from collections.abc import Sequence

use_uvloop()
# Installed in the peer's own environment only, so it has no types here.
_ardiq: Any = importlib.import_module("ardiq")

#: Plain functions, each run in a thread, in place of coroutines.
_PLAIN = os.environ.get("BENCH_ARDIQ") == "plain"

app = _ardiq.Ardiq(BROKER or None, concurrency=100, result_ttl_ms=300_000 if RESULTS else 0)
_tasks = {
    function.__name__: app.task(name=function.__name__)(function if _PLAIN else work.as_coroutine(function))
    for function in (work.noop, work.value, work.stamp)
}


class ArdiqPort(AsyncPort):
    """enqueue, enqueue_many, options(delay_ms=...)."""

    async def open(self) -> None:
        """It connects by itself."""

    async def send(self, task: str, args: Arguments) -> Any:
        return await _tasks[task].enqueue(*args)

    async def send_all(self, task: str, calls: Sequence[Arguments]) -> None:
        prepare = _tasks[task].prepare
        for start in range(0, len(calls), CHUNK):
            await app.enqueue_many([prepare(*args) for args in calls[start : start + CHUNK]])

    async def defer(self, task: str, args: Arguments, seconds: float) -> None:
        await _tasks[task].options(delay_ms=round(seconds * 1000)).enqueue(*args)

    async def ask(self, task: str, number: int) -> int:
        sent = await self.send(task, (number,))
        return int((await sent.result(timeout=30)).value)


port: Port = ArdiqPort()
