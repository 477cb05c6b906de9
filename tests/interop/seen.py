"""A result as a client of either side sees it, as plain data: both have the same attributes."""

from __future__ import annotations

from typing import Any, NamedTuple


class Seen(NamedTuple):
    """What `AsyncResult` shows.

    Attributes:
        state: the state.
        value: what the task returned; None if it raised.
        error: name and arguments of the exception.
        traceback: as text.
        children: ids of the tasks that it sent, once it is done.
        date_done: ISO text.
        extended: what `result_extended` adds.
    """

    state: str
    value: Any = None
    error: tuple[str, tuple[Any, ...]] | None = None
    traceback: str | None = None
    children: tuple[str, ...] = ()
    date_done: str | None = None
    extended: dict[str, Any] | None = None


def describe(result: Any) -> Seen:
    """Look at an `AsyncResult` of Celery or of Celeriac."""
    value = result.result
    failed = isinstance(value, BaseException)
    done = result.date_done
    names = ("name", "args", "kwargs", "worker", "retries", "queue")
    extended = {name: getattr(result, name) for name in names}
    return Seen(
        result.state,
        None if failed else value,
        (type(value).__name__, tuple(value.args)) if failed else None,
        result.traceback,
        tuple(child.id for child in (result.children if result.ready() else None) or ()),
        None if done is None else done.isoformat(),
        extended if any(item is not None for item in extended.values()) else None,
    )
