"""What running tasks needs of event loops, and the one place that knows why asyncio is imported late.

`import asyncio` takes as long as all of `import celeriac` without it, and a program that only declares or sends tasks
may never need it.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


def run_in_new_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, in this thread.

    Raises:
        RuntimeError: a loop runs in this thread.
    """
    import asyncio  # noqa: PLC0415 - start-up time

    return asyncio.run(coroutine)


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from plain code: in this thread, or if a loop runs in it, in a thread of its own."""
    if not loop_is_running():
        return run_in_new_loop(coroutine)

    def run() -> tuple[T | None, BaseException | None]:
        try:
            return run_in_new_loop(coroutine), None
        except BaseException as exc:  # noqa: BLE001 - it is raised in the caller's thread
            return None, exc

    value, error = call_in_new_thread(run)
    if error is not None:
        raise error
    return cast("T", value)


def is_cancellation_of_caller(exc: BaseException) -> bool:
    """The task of this loop is being cancelled, rather than something that was awaited in it."""
    import asyncio  # noqa: PLC0415 - start-up time

    if not isinstance(exc, asyncio.CancelledError):
        return False
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def loop_is_running() -> bool:
    """A loop runs in this thread."""
    if "asyncio" not in sys.modules:
        return False
    import asyncio  # noqa: PLC0415 - start-up time

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def call_in_new_thread(function: Callable[[], T]) -> T:
    """Call `function` in a thread of its own, with this one's context variables, and wait for it."""
    results: list[T] = []
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: results.append(context.run(function)))
    thread.start()
    thread.join()
    return results[0]
