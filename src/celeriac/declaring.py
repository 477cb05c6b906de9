"""Turning functions into tasks: the types of the decorators, names, and tasks shared by all apps.

Owns what `@app.task` and `@shared_task` have in common. Knows nothing of apps but which one is current.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar, overload

from celeriac.current import find_current_app, share_task
from celeriac.option_types import TaskOptions
from celeriac.task import CoroutineTask, Task
from celeriac.task_options import is_coroutine_function

if TYPE_CHECKING:
    from typing import Unpack

P = ParamSpec("P")
R = TypeVar("R")


class TaskDecorator(Protocol):
    """What `@app.task(...)` gives: makes a task of a function."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class BoundTaskDecorator(Protocol):
    """What `@app.task(bind=True, ...)` gives: the function gets the task itself first, its callers leave that out."""

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...


def task_name(function: Callable[..., Any], main: str | None) -> str:
    """`module.function`; in a program that is run directly the app's name stands for the module `__main__`."""
    if not callable(function):
        raise TypeError(f"a task is made of a function, not of {function!r}")
    module, name = function.__module__, function.__name__
    return f"{main if module == '__main__' and main else module}.{name}"


#: Properties of tasks that are taken for options, and what to do.
_NO_OPTIONS: Final = {
    "backend": "all results of an app go to one store, which its setting result_backend (backend=) names",
    "app": "a task belongs to the app whose decorator makes it",
}


def check_task_class(cls: object, given_as: str) -> None:
    """Refuse what is no subclass of `Task`.

    Raises:
        TypeError: it is not.
    """
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise TypeError(f"{given_as}={cls!r}: give a subclass of celeriac.Task")


def declare_task(
    function: Callable[..., Any], name: str, base: type[Task[Any, Any]], bind: bool, options: TaskOptions
) -> Task[Any, Any]:
    """Make a task of a function. An `async def` becomes a `CoroutineTask` unless another base is asked for.

    Raises:
        TypeError: `base` is no task class, or an option is what a task works out itself.
    """
    check_task_class(base, "base")
    for option in options:
        known = getattr(base, option, None)
        if isinstance(known, property) and known.fset is None:
            cure = _NO_OPTIONS.get(option, "it follows from the others; leave it out")
            raise TypeError(f"{option}= is not an option of task {name}: {cure}")
    if base is Task and is_coroutine_function(function):
        base = CoroutineTask
    return base.declare(function, name, bind, options)


@overload
def shared_task(function: Callable[P, Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...


@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def shared_task(
    *, bind: Literal[True], base: type[Task[Any, Any]] = ..., **options: Unpack[TaskOptions]
) -> BoundTaskDecorator: ...


@overload
def shared_task(
    *, bind: Literal[False] = ..., base: type[Task[Any, Any]] = ..., **options: Unpack[TaskOptions]
) -> TaskDecorator: ...


def shared_task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    bind: bool = False,
    base: type[Task[Any, Any]] = Task,
    **options: Unpack[TaskOptions],
) -> Any:
    """Make a task of a function for every app, those included that are made later.

    For libraries, which do not know their user's app. It takes what `app.task` takes. What it gives is a real task: it
    works with the current app each time it is used, so it can be declared before there is any.

    Example:
        >>> from celeriac import Celeriac, shared_task
        >>> @shared_task(name="doc.double")
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> app = Celeriac("doc", broker="memory://")
        >>> app.tasks["doc.double"](21)
        42
    """

    def decorate(decorated: Callable[..., Any]) -> Task[Any, Any]:
        app = find_current_app()
        name = options.get("name") or task_name(decorated, app.main if app is not None else None)
        task = declare_task(decorated, name, base, bind, options)
        share_task(task)
        return task

    return decorate if function is None else decorate(function)
