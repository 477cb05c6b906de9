"""Which app is the current one, and which tasks are shared by all apps.

Owns this process-wide state and nothing else. It is all there is: no proxies stand in for "whatever is current".

The current app of a thread is the one it made or chose last. A thread that chose none has the process's default: the
first app that was made, unless `set_default` chose another. So a web server's threads see the app of the main thread.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.task import Task


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
