"""Which app is the current one, and which tasks are shared by all apps.

Owns this process-wide state and nothing else. It is all there is: no proxies stand in for "whatever is current", one
calls `current_app()`.

The current app of a thread is the one it made or chose last. A thread that chose none has the process's default: the
first app that was made, unless `set_default` chose another. So a web server's threads see the app of the main thread.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.task import Task


T_co = TypeVar("T_co", covariant=True)


class _Choice(threading.local):
    app: Celeriac | None = None


class _Process:
    default: Celeriac | None = None
    make_default: Callable[[], Celeriac]


_choice: Final = _Choice()
_process: Final = _Process()
_lock: Final = threading.RLock()
_apps: Final[weakref.WeakSet[Celeriac]] = weakref.WeakSet()
_shared: Final[dict[str, Task[Any, Any]]] = {}


def get_current_app() -> Celeriac:
    """The current app of this thread.

    With no app at all, one is made with settings from the environment only, as Celery does.
    """
    app = _choice.app or _process.default
    if app is None:
        with _lock:
            app = _process.default or _process.make_default()
            _process.default = app
    return app


class Current(Generic[T_co]):
    """A function whose name Celery gives to a proxy: who uses it as one is told to call it.

    Args:
        name: of the function.
        find: what it does.
    """

    def __init__(self, name: str, find: Callable[[], T_co]) -> None:
        self.__name__ = name
        self.__doc__ = find.__doc__
        self._find = find

    def __call__(self) -> T_co:
        return self._find()

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"

    if not TYPE_CHECKING:  # type checkers know that it has no attributes

        def __getattr__(self, name: str) -> object:
            what = self.__name__
            raise AttributeError(f"{what} is a function, not a proxy: write {what}().{name} for {what}.{name}")


#: The current app of this thread, by Celery's name: `current_app().conf`.
current_app: Final = Current("current_app", get_current_app)


def find_current_app() -> Celeriac | None:
    """The current app of this thread, or None if there is no app yet."""
    return _choice.app or _process.default


def set_current_app(app: Celeriac | None) -> None:
    """Make `app` the current one of this thread, and the process's default if it has none."""
    _choice.app = app
    if _process.default is None:
        _process.default = app


def set_default_app(app: Celeriac | None) -> None:
    """Make `app` the one of all threads that chose none."""
    _process.default = app


def set_default_factory(make: Callable[[], Celeriac]) -> None:
    """Tell how to make an app when one is needed and there is none."""
    _process.make_default = make


def forget_app(app: Celeriac) -> None:
    """Make sure that `app`, which was closed, is nobody's current app."""
    if _choice.app is app:
        _choice.app = None
    if _process.default is app:
        _process.default = None


def note_app(app: Celeriac) -> None:
    """Remember `app` (weakly) as one that shared tasks go to."""
    with _lock:
        _apps.add(app)


def find_task(main: str | None, name: str) -> Task[Any, Any] | None:
    """The task of that name of the app that is called `main`, the current app first; a shared one if `main` is None."""
    if main is None:
        return _shared.get(name)
    with _lock:
        apps = [app for app in _apps if app.main == main]
    current = find_current_app()
    apps.sort(key=lambda app: app is not current)
    return next((task for app in apps if (task := app.tasks.find(name)) is not None), None)


def share_task(task: Task[Any, Any]) -> None:
    """Give `task` to every app: now to those that have looked at their tasks already, to others when they do."""
    with _lock:
        _shared[task.name] = task
        finalized = [app for app in _apps if app.finalized]
    for app in finalized:
        app.adopt(task)


def shared_tasks() -> list[Task[Any, Any]]:
    """All tasks that were shared so far."""
    with _lock:
        return list(_shared.values())
