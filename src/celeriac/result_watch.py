"""Watching crowds of results in an event loop.

Owns how many of them are waited for at one time, and when the others are looked at. Knows nothing of what results mean.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Self

from celeriac.result_looks import AT_ONCE, ready_in_order

if TYPE_CHECKING:
    from types import TracebackType

    from celeriac.backends.base import Backend
    from celeriac.outcome import ResultRecord

#: Results of one crowd that are waited for at one time; the others are looked at again and again.
_WATCHED: Final = 1000
#: Seconds between looks at the others, and what each of them adds.
_LOOK_INTERVAL: Final = 1.0
_INTERVAL_PER_RESULT: Final = 0.00005
#: As in `celeriac.result`.
_WAIT_SLICE: Final = 30.0


class Watch:
    """Waits for a crowd of results in the running loop. For one consumer.

    A task for each of 100,000 results would take some 300 MB. So the backend's waiters tell of a thousand at a time,
    in the crowd's order, and the rest is looked at in few trips about every second.

    Args:
        backend: where the results are.
        task_ids: whose, each once.
    """

    def __init__(self, backend: Backend, task_ids: Iterable[str]) -> None:
        self._backend = backend
        self._rest = deque(task_ids)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: list[ResultRecord] = []
        self._error: BaseException | None = None
        self._woken = asyncio.Event()
        #: How many of the rest are still to be looked at in this round, and when the next one begins.
        self._unlooked = len(self._rest)
        self._next_round = 0.0
        #: The first of the rest were looked at just now, and are not ready.
        self._is_fresh = False

    async def next(self, timeout: float) -> list[ResultRecord]:
        """What is ready by now, at least one; nothing after `timeout` seconds, or when there is nothing left.

        Raises:
            OperationalError: the backend has been away for too long.
            BackendError: a result can not be read.
        """
        deadline = time.monotonic() + timeout
        while True:
            await self._look()
            if self._error is not None:
                raise self._error
            if self._ready:
                ready, self._ready = self._ready, []
                return ready
            if self._unlooked:
                continue
            left = deadline - time.monotonic()
            if left <= 0 or not (self._rest or self._tasks):
                return []
            self._begin_waiting()
            await self._sleep(min(left, self._next_round - time.monotonic()) if self._rest else left)

    async def close(self) -> None:
        """Wait for nothing any more."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _look(self) -> None:
        """Look at some of the rest, if it is time to."""
        if not self._unlooked and self._rest and time.monotonic() >= self._next_round:
            self._unlooked = len(self._rest)
        if self._unlooked:
            missing = await self._look_at(min(self._unlooked, AT_ONCE))
            self._rest.extend(missing)
            if not self._unlooked:
                self._is_fresh = True
                self._next_round = time.monotonic() + _LOOK_INTERVAL + _INTERVAL_PER_RESULT * len(self._rest)
        elif self._rest and not self._is_fresh and len(self._tasks) <= _WATCHED // 2:
            missing = await self._look_at(min(len(self._rest), AT_ONCE))
            self._rest.extendleft(reversed(missing))
            self._is_fresh = True

    async def _look_at(self, count: int) -> list[str]:
        """Take the first of the rest away. Returns those that are not ready."""
        wanted = [self._rest.popleft() for _ in range(count)]
        self._unlooked = max(0, self._unlooked - count)
        ready = ready_in_order(wanted, await self._backend.aload_many(wanted))
        self._ready += ready
        found = {record.task_id for record in ready}
        return [task_id for task_id in wanted if task_id not in found]

    def _begin_waiting(self) -> None:
        if not self._is_fresh:
            return
        self._is_fresh = False
        for _ in range(min(len(self._rest), _WATCHED - len(self._tasks))):
            task = asyncio.create_task(self._wait(self._rest.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._end_waiting)

    async def _wait(self, task_id: str) -> None:
        record = None
        while record is None:
            record = await self._backend.await_ready(task_id, _WAIT_SLICE)
        self._ready.append(record)

    def _end_waiting(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._error = task.exception()
        self._woken.set()

    async def _sleep(self, seconds: float) -> None:
        self._woken.clear()
        if self._ready or self._error is not None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
