"""Raising an exception inside a task that runs: in the main thread, in another thread, in a coroutine.

Each way has one rule: the exception must hit the attempt it is meant for, or nothing.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

#: Celery's choice too: tasks that use the signal themselves lose soft time limits.
SOFT_LIMIT_SIGNAL: Final[signal.Signals | None] = getattr(signal, "SIGUSR1", None)


def raise_in_thread(ident: int, exception: type[BaseException]) -> None:
    """Make thread `ident` raise `exception` at its next bytecode; a blocking call is not interrupted."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(exception))


def clear_raise_in_thread(ident: int) -> None:
    """Take back a `raise_in_thread` that has not come through yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), None)


@contextmanager
def signal_handler(handler: Callable[[], None]) -> Generator[None]:
    """Call `handler` in the main thread, in the middle of what runs there, whenever `interrupt_main_thread` is used.

    Where there is no signal to use, or this is not the main thread, the block runs without it.
    """
    if SOFT_LIMIT_SIGNAL is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        handler()

    previous = signal.signal(SOFT_LIMIT_SIGNAL, on_signal)
    try:
        yield
    finally:
        signal.signal(SOFT_LIMIT_SIGNAL, previous)


def interrupt_main_thread(exception: type[BaseException]) -> None:
    """Run the `signal_handler` in the main thread, also if it sits in a system call.

    Without signals (Windows) `exception` is raised there as in any other thread.
    """
    main = threading.main_thread().ident
    assert main is not None
    if SOFT_LIMIT_SIGNAL is None:
        raise_in_thread(main, exception)
    else:
        signal.pthread_kill(main, SOFT_LIMIT_SIGNAL)


class InterruptibleCoroutine(Coroutine[Any, Any, _T]):
    """A coroutine into which another exception than `CancelledError` can be thrown while a task awaits in it.

    `asyncio.Task` can only be cancelled. `interrupt` cancels it and swaps the exception on its way in, so that
    `except SoftTimeLimitExceeded` works in a coroutine as it does in a function.
    """

    def __init__(self, inner: Coroutine[Any, Any, _T]) -> None:
        self._inner = inner
        self._started = False
        self._instead: BaseException | None = None

    def interrupt(self, task: asyncio.Task[_T], exception: BaseException) -> None:
        """Raise `exception` where the coroutine awaits. One that has not begun, or is done, is left alone."""
        if self._started and not task.done():
            self._instead = exception
            task.cancel()

    def send(self, value: Any, /) -> Any:
        self._started = True
        return self._inner.send(value)

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        exception = typ if isinstance(typ, BaseException) else (val if isinstance(val, BaseException) else typ())
        if self._instead is not None and isinstance(exception, asyncio.CancelledError):
            exception, self._instead = self._instead, None
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        if tb is not None:
            exception = exception.with_traceback(tb)
        return self._inner.throw(exception)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, _T]:
        return self._inner.__await__()
