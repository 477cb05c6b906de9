"""One thread of the app's in which results are watched for all its other threads.

Owns the thread, and who is called when results are there. Started by the first who needs it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from celeriac import states
from celeriac.exceptions import OperationalError
from celeriac.result_watch import Watch
from celeriac.storage.forks import renew_in_children

if TYPE_CHECKING:
    from types import TracebackType

    from celeriac.backends.base import Backend
    from celeriac.outcome import ResultRecord
    from celeriac.result import AsyncResult

logger = logging.getLogger("celeriac.backend")

T = TypeVar("T")

#: Callbacks that wait for their results in one app.
_MOST_CALLBACKS: Final = 10_000
#: As in `celeriac.result`.
_WAIT_SLICE: Final = 30.0
#: Seconds that the thread may take to end.
_ENDING: Final = 5.0


class Watcher:
    """One thread with an event loop, in which threads have crowds of results watched.

    It starts with the first of them and ends with its app. Safe to use from any thread and after a fork (a child starts
    a thread of its own).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._end: weakref.finalize[Any, Any] | None = None
        self._callbacks: ThreadPoolExecutor | None = None
        self._calling_back: set[Future[None]] = set()
        renew_in_children(self)

    def watch(self, backend: Backend, task_ids: Sequence[str]) -> Feed:
        """Have a crowd of results watched.

        Args:
            backend: where they are.
            task_ids: whose, each once.
        """
        return Feed(lambda feed: self._run(_fill(feed, backend, task_ids)))

    def call_back(
        self,
        backend: Callable[[], Backend],
        result: object,
        members: Sequence[AsyncResult[Any]],
        callback: Callable[[Any], object],
        on_error: Callable[[Any], object] | None,
    ) -> Future[None]:
        """See `AsyncResult.then`.

        Args:
            backend: where the results are.
            result: what `callback` is called with.
            members: the results to wait for.
            callback: called with `result`.
            on_error: called with the exception of the first member that failed instead, or of the backend.
        """
        call = _Call(result, members, callback, on_error)
        if not call.missing:
            return call.made_here()
        if len(self._calling_back) >= _MOST_CALLBACKS:
            raise OperationalError(
                f"{_MOST_CALLBACKS} callbacks of then() wait for results already: put results that belong together "
                "into one ResultSet, or await them with asyncio"
            )
        future = self._run(call.make(backend(), self._callback_thread()))
        self._calling_back.add(future)
        future.add_done_callback(self._calling_back.discard)
        return future

    def stop(self) -> None:
        """End the thread. Who waits gets an error; the next who does starts another."""
        with self._lock:
            end, thread, callbacks = self._end, self._thread, self._callbacks
            self._end = self._thread = self._loop = self._callbacks = None
        if end is not None:
            end()
        if callbacks is not None:
            callbacks.shutdown(wait=False, cancel_futures=True)  # it may be one of them that closes the app
        if thread is not None and thread is not threading.current_thread():
            thread.join(_ENDING)

    def after_fork_in_child(self) -> None:
        """The thread is the parent's, and so is whoever held the lock."""
        self._lock = threading.Lock()
        self._loop = self._thread = self._end = self._callbacks = None
        self._calling_back = set()

    def _callback_thread(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._callbacks is None:
                self._callbacks = ThreadPoolExecutor(1, "celeriac-callbacks")
            return self._callbacks

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            started: _Started = SimpleQueue()
            self._thread = threading.Thread(target=_serve, args=(started,), name="celeriac-watcher", daemon=True)
            self._thread.start()
            self._loop, ended = started.get()
            self._end = weakref.finalize(self, _end, self._loop, ended)
        return self._loop


_Started: TypeAlias = "SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]]"


def _serve(started: _Started) -> None:
    asyncio.run(_live(started))


async def _live(started: _Started) -> None:
    ended = asyncio.Event()
    started.put((asyncio.get_running_loop(), ended))
    await ended.wait()


def _end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with suppress(RuntimeError):  # it is closed already
        loop.call_soon_threadsafe(ended.set)


class Feed:
    """Results as they come, for one thread.

    Args:
        watch: has them watched; called with this.
    """

    def __init__(self, watch: Callable[[Feed], Future[None]]) -> None:
        self._arrived: SimpleQueue[list[ResultRecord] | BaseException] = SimpleQueue()
        self._watching = watch(self)

    def put(self, arrived: list[ResultRecord] | BaseException) -> None:
        """Hand on what has come, or why nothing will."""
        self._arrived.put(arrived)

    def next(self, timeout: float) -> list[ResultRecord]:
        """What has come, or nothing after `timeout` seconds.

        Raises:
            OperationalError: the backend has been away for too long, or the app was closed.
            BackendError: a result can not be read.
        """
        try:
            arrived = self._arrived.get(timeout=max(0.0, timeout))
        except Empty:
            return []
        if isinstance(arrived, BaseException):
            raise arrived
        return arrived

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watching.cancel()


async def _fill(feed: Feed, backend: Backend, task_ids: Sequence[str]) -> None:
    left = len(task_ids)
    try:
        async with Watch(backend, task_ids) as watch:
            while left:
                records = await watch.next(_WAIT_SLICE)
                left -= len(records)
                if records:
                    feed.put(records)
    except asyncio.CancelledError:
        feed.put(_closed())
        raise
    except Exception as error:  # noqa: BLE001 - it belongs to the thread that waits, whatever it is
        feed.put(error)


def _closed() -> OperationalError:
    return OperationalError("the app was closed while results were waited for: close it when nobody waits any more")


class _Call:
    """A callback and what it waits for."""

    def __init__(
        self,
        result: object,
        members: Sequence[AsyncResult[Any]],
        callback: Callable[[Any], object],
        on_error: Callable[[Any], object] | None,
    ) -> None:
        self._result = result
        self._members = members
        self._callback = callback
        self._on_error = on_error
        self.missing: dict[str, list[AsyncResult[Any]]] = {}
        for member in members:
            if member.known_state is None and not member.ignored:
                self.missing.setdefault(member.id, []).append(member)

    def made_here(self) -> Future[None]:
        """Call at once, in this thread."""
        future: Future[None] = Future()
        try:
            self._tell(None)
        except Exception as error:  # noqa: BLE001 - it was logged, and is the future's as it is of one made later
            future.set_exception(error)
        else:
            future.set_result(None)
        return future

    async def make(self, backend: Backend, callbacks: ThreadPoolExecutor) -> None:
        """Wait for the members, then call in a thread of `callbacks`."""
        problem: Exception | None = None
        try:
            await self._wait(backend)
        except Exception as error:  # noqa: BLE001 - whoever waits for the callback is told, whatever it is
            problem = error
        await asyncio.get_running_loop().run_in_executor(callbacks, self._tell, problem)

    async def _wait(self, backend: Backend) -> None:
        async with Watch(backend, list(self.missing)) as watch:
            while self.missing:
                for record in await watch.next(_WAIT_SLICE):
                    for member in self.missing.pop(record.task_id, ()):
                        member.take(record)

    def _tell(self, problem: Exception | None) -> None:
        """Call what there is to call.

        Args:
            problem: why results can not be had.
        """
        error = problem or self._failure()
        try:
            if error is not None and self._on_error is not None:
                self._on_error(error)
            elif problem is None:
                self._callback(self._result)
        except Exception:
            logger.exception("A callback of then() failed, of %s", self._result)
            raise
        if problem is not None and self._on_error is None:
            logger.error("A callback of then() is not called, as what it waits for can not be had: %s", problem)
            raise problem

    def _failure(self) -> Any:
        failed = next((member for member in self._members if member.known_state in states.PROPAGATE_STATES), None)
        return None if failed is None else failed.value()
