"""Whether waiting for a result is allowed here: not in a task, unless it says so.

Owns the switch, which is right for threads and for coroutines. Knows nothing of results.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from typing import Final

from celeriac.request import current_request

#: None: not while a task runs here.
_allowed: Final[ContextVar[bool | None]] = ContextVar("celeriac_joins_allowed", default=None)


@contextlib.contextmanager
def allow_join_result() -> Generator[None]:
    """Inside this block a task may wait for results of other tasks."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


@contextlib.contextmanager
def denied_join_result() -> Generator[None]:
    """Inside this block nobody may wait for results, also where no task runs."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


def assert_will_not_block() -> None:
    """Refuse to wait for a result inside a task.

    Raises:
        RuntimeError: a task runs here. All executors may be waiting like that for a task that finds none free.
    """
    allowed = _allowed.get()
    if allowed is False:
        raise RuntimeError("get() is called inside denied_join_result(): wait for results after that block")
    request = current_request.get()
    if allowed or request is None or request.is_eager or request.called_directly:
        return
    raise RuntimeError(
        f"task {request.task}[{request.id}] calls get() on another task's result: if all executors wait like "
        "this, nothing runs. Link the tasks instead, or pass disable_sync_subtasks=False"
    )
