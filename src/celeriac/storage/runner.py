"""One thread that runs blocking calls for event loops, in order.

Owns the hop between loop and thread, which costs about half of what `concurrent.futures` takes for it. Knows nothing of
what it runs.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from celeriac.storage.forks import renew_in_children

T = TypeVar("T")

_Job: TypeAlias = "tuple[Callable[[], Any], asyncio.AbstractEventLoop, asyncio.Future[Any]]"
_Jobs: TypeAlias = "SimpleQueue[_Job | None]"


class ThreadRunner:
    """Runs functions one after another in a thread of its own, started with the first of them.

    Safe to use from several event loops and after a fork (a child starts a thread of its own).

    Example:
        >>> async def main() -> int:
        ...     return await ThreadRunner("example").run(lambda: 42)
        >>> asyncio.run(main())
        42
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._jobs: _Jobs | None = None
        self._stop: weakref.finalize[Any, Any] | None = None
        renew_in_children(self)

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Have `function()` called in the thread; the future belongs to the running loop.

        What was handed over is run, also when the future is cancelled meanwhile.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:  # so that a stop can not slip in between and leave the job to nobody
            self._running().put((function, loop, future))
        return future

    def stop(self) -> None:
        """End the thread when it has run what was handed over. The next `run` starts another."""
        with self._lock:
            if self._stop is not None:
                self._stop()
            self._jobs = self._stop = None

    def after_fork_in_child(self) -> None:
        """The thread is the parent's, and so is whoever held the lock."""
        self._lock = threading.Lock()
        self._jobs = self._stop = None

    def _running(self) -> _Jobs:
        if self._jobs is None:
            self._jobs = SimpleQueue()
            threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True).start()
            self._stop = weakref.finalize(self, self._jobs.put, None)
        return self._jobs


def _work(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        function, loop, future = job
        result: Any = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as exc:  # noqa: BLE001 - it belongs to the caller, whatever it is
            error = exc
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver, future, result, error)
        del job, function, future, result, error  # or they would live until the next job


def _deliver(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
