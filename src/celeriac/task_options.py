"""What one can say when a task is declared: names, types, defaults from settings, and what can not be.

Owns the declaration's options, be they given to the decorator, as attributes of a class, or by `task_annotations`.
Knows nothing of how tasks are sent or run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

from celeriac.call_options import check_retry_kwargs
from celeriac.config.checks import rate
from celeriac.option_rules import (
    COUNT,
    DURATION,
    EXCEPTIONS,
    MAPPING,
    NAME,
    SHARED_RULES,
    Rule,
    checked_value,
    rules_of,
)
from celeriac.option_types import TaskOptions
from celeriac.spelling import near_names

if TYPE_CHECKING:
    from celeriac.task import Task

EXECUTOR_KINDS: Final = ("process", "thread", "asyncio")

#: Methods that a declaration may give as functions, which then get the task first.
HANDLERS: Final = ("before_start", "on_success", "on_failure", "on_retry", "after_return")


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
        TypeError: an unknown option, or a value of another type than it has.
        ValueError: a value that can not be.
    """
    for name, value in options.items():
        if name not in TASK_OPTION_NAMES:
            _check_own_attribute(task, name)
            setattr(task, name, value)
            continue
        kept = _checked(task, name, value)
        if name in HANDLERS:
            setattr(task, name, MethodType(kept, task))
        elif name not in _DECLARATION_ONLY:
            setattr(task, name, kept)
    _check_executor(task)


def check_attributes(task: Task[Any, Any]) -> None:
    """Check the options that a class of task has as attributes, as if they had been given to the decorator.

    Raises:
        TypeError, ValueError: as `set_options`.
    """
    for name, value in _class_attributes(task).items():
        kept = _checked(task, name, value)
        if kept is not value:
            setattr(task, name, kept)
    _check_executor(task)


def own_options(task: Task[Any, Any]) -> dict[str, Any]:
    """The options that a task says itself, by its decorator, its class or `task_annotations`: no defaults."""
    return {name: value for name, value in _class_attributes(task).items() if value is not None}


def _class_attributes(task: Task[Any, Any]) -> dict[str, Any]:
    """The options among the attributes of a task and of its classes. What computes them is left alone."""
    found: dict[str, Any] = {}
    for owner in (*reversed(list(_own_classes(task))), task):
        found |= {name: vars(owner)[name] for name in TASK_OPTION_NAMES & vars(owner).keys()}
    return {
        name: value for name, value in found.items() if name not in HANDLERS and not hasattr(type(value), "__get__")
    }


def _own_classes(task: Task[Any, Any]) -> Iterator[type]:
    """The classes of a task that are the user's."""
    return (each for each in type(task).__mro__ if each.__module__ not in _OUR_MODULES)


#: Of `Task` and what it is made of. They lie above this one, so they are known by name.
_OUR_MODULES: Final = frozenset(
    {"celeriac.task", "celeriac.task_handlers", "celeriac.task_sending", "typing", "builtins"}
)


def _check_own_attribute(task: Task[Any, Any], name: str) -> None:
    """Celery makes any other word an attribute. Here its class must have it: a slip of the pen shall not become one."""
    if any(name in vars(each) or name in vars(each).get("__annotations__", ()) for each in _own_classes(task)):
        return
    near = near_names(name, TASK_OPTION_NAMES, cutoff=0.7)
    guess = f"did you mean {near[0]!r}? An" if near else "an"
    raise TypeError(
        f"unknown option {name!r} of task {task.name}: {guess} attribute of your own is declared in a Task class "
        "that is given with base="
    )


def _checked(task: Task[Any, Any], name: str, value: Any) -> Any:
    return checked_value(_rules()[name], value, f"option {name!r} of task {task.name or type(task).__qualname__}")


@functools.cache
def _rules() -> dict[str, Rule]:
    return rules_of(TaskOptions, _DETAILS)


_DETAILS: Final[Mapping[str, Rule]] = {
    **SHARED_RULES,
    "name": NAME,
    "executor": Rule(type=object),  # `_check_executor` knows what fits the task
    "max_retries": COUNT,
    "default_retry_delay": DURATION,
    "rate_limit": Rule(at_least=0, check=rate, expects="a rate such as '10/s', or a number a second"),
    "throws": EXCEPTIONS,
    "resultrepr_maxsize": Rule(at_least=1),
    "autoretry_for": EXCEPTIONS,
    "dont_autoretry_for": EXCEPTIONS,
    "retry_kwargs": MAPPING._replace(type=Mapping[str, Any], check=check_retry_kwargs),
    "retry_backoff": Rule(at_least=0, expects="True, False, or a number of seconds"),
    "retry_backoff_max": DURATION,
    "pydantic_context": MAPPING,
    "pydantic_dump_kwargs": MAPPING,
}


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
