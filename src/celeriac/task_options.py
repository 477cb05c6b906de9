"""What one can say when a task is declared: names, types, defaults from settings, and what can not be.

Owns the declaration's options. Knows nothing of how tasks are sent or run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from celeriac.spelling import near_names

if TYPE_CHECKING:
    from celeriac.task import Task

ExecutorKind = Literal["process", "thread", "asyncio"]
EXECUTOR_KINDS: Final = ("process", "thread", "asyncio")

#: Methods that a declaration may give as functions, which then get the task first.
HANDLERS: Final = ("before_start", "on_success", "on_failure", "on_retry", "after_return")


class TaskOptions(TypedDict, total=False):
    """The options of `@app.task` beside `bind` and `base`. They are described at the attributes of `Task`."""

    name: str | None
    typing: bool | None
    filter: Callable[[Callable[..., Any]], Callable[..., Any]] | None
    lazy: bool
    shared: bool
    executor: ExecutorKind | None
    max_retries: int | None
    default_retry_delay: float
    rate_limit: str | float | None
    time_limit: float | None
    soft_time_limit: float | None
    ignore_result: bool
    store_errors_even_if_ignored: bool
    store_eager_result: bool
    trail: bool
    send_events: bool
    serializer: str
    compression: str | None
    track_started: bool
    acks_late: bool
    acks_on_failure_or_timeout: bool
    acks_on_failure: bool | None
    acks_on_timeout: bool | None
    reject_on_worker_lost: bool | None
    retry_on_worker_lost: bool
    throws: tuple[type[BaseException], ...]
    expires: float | datetime | None
    priority: int | None
    resultrepr_maxsize: int
    queue: str | None
    exchange: str | None
    routing_key: str | None
    delivery_mode: int | None
    autoretry_for: tuple[type[BaseException], ...]
    dont_autoretry_for: tuple[type[BaseException], ...]
    retry_kwargs: Mapping[str, Any]
    retry_backoff: bool | float
    retry_backoff_max: float
    retry_jitter: bool
    pydantic: bool
    pydantic_strict: bool | None
    pydantic_context: Mapping[str, Any] | None
    pydantic_dump_kwargs: Mapping[str, Any] | None
    before_start: Callable[..., object]
    on_success: Callable[..., object]
    on_failure: Callable[..., object]
    on_retry: Callable[..., object]
    after_return: Callable[..., object]


TASK_OPTION_NAMES: Final = frozenset(TaskOptions.__annotations__)

#: Used up by the declaration; not attributes of the task.
_DECLARATION_ONLY: Final = frozenset({"name", "filter", "lazy", "shared"})


class _FromSetting:
    """The value of a setting, read when it is asked for, so that it does not matter which comes first, task or setting.

    A class attribute of a subclass, or an attribute of the task itself, takes its place.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read

    def __get__(self, task: Task[Any, Any] | None, owner: type) -> Any:
        return None if task is None else self._read(task.app.conf)


def from_setting(read: Callable[[Any], Any]) -> Any:
    """A task attribute whose default is a setting. `read` gets the settings."""
    return _FromSetting(read)


def set_options(task: Task[Any, Any], options: Mapping[str, Any]) -> None:
    """Make `options` attributes of `task`.

    Raises:
        TypeError: an unknown option that looks like a misspelt one.
        ValueError: a value that can not be.
    """
    for name, value in options.items():
        if name in _DECLARATION_ONLY:
            continue
        if name in HANDLERS:
            setattr(task, name, MethodType(value, task))
        elif name in TASK_OPTION_NAMES or hasattr(type(task), name):
            setattr(task, name, value)
        else:
            _set_unknown(task, name, value)
    _check_executor(task)


def _set_unknown(task: Task[Any, Any], name: str, value: object) -> None:
    """Celery makes any other word an attribute for the task's own use; a slip of the pen should not become one."""
    near = near_names(name, TASK_OPTION_NAMES)
    if near:
        raise TypeError(
            f"unknown option {name!r} of task {task.name}: did you mean {near[0]!r}? An attribute of that name can be "
            "declared in a Task class and given with base="
        )
    setattr(task, name, value)


def _check_executor(task: Task[Any, Any]) -> None:
    if task.executor is None:
        return
    if task.executor not in EXECUTOR_KINDS:
        raise ValueError(
            f"executor={task.executor!r} of task {task.name}: choose one of {', '.join(map(repr, EXECUTOR_KINDS))}"
        )
    if task.executor == "asyncio" and not task.is_coroutine:
        raise ValueError(
            f"executor='asyncio' of task {task.name} needs an `async def`: this one would block all others there. "
            "Use executor='thread' for blocking I/O"
        )


def annotations_for(task: Task[Any, Any], annotations: Any) -> dict[str, Any]:
    """The attributes that the setting `task_annotations` gives to `task`.

    Args:
        task: whose.
        annotations: None, `{name or "*": {attribute: value}}`, an object with `annotate(task)`, or a list of these.
    """
    if not annotations:
        return {}
    attributes: dict[str, Any] = {}
    for source in annotations if isinstance(annotations, list | tuple) else (annotations,):
        if isinstance(source, Mapping):
            attributes |= {**source.get("*", {}), **source.get(task.name, {})}
        else:
            attributes |= source.annotate(task) or {}
    return attributes


def is_coroutine_function(function: object) -> bool:
    """An `async def`, also behind `functools.partial` or as an object's `__call__`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        type(function).__call__ if callable(function) else None
    )
