"""A client of the real Celery: does what the test asks on its standard input, answers on its standard output.

Questions are pickled `(method, keyword arguments)`, answers pickled `(true, value)` or `(false, traceback)`.
"""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import time
import traceback
from typing import Any

from integration.workflows.model import Ending
from integration.workflows.sights import seen_of
from integration.workflows.trees import Node, build
from interop import celery_app
from interop.seen import Seen, describe

# Installed in that environment only, so it has no types here.
_celery: Any = importlib.import_module("celery")
_result: Any = importlib.import_module("celery.result")
_apps: dict[str, Any] = {}


def _app(settings: dict[str, Any] | None) -> Any:
    """The app, or another one with other settings: the message protocol, a serialiser of results."""
    if not settings:
        return celery_app.app
    key = repr(sorted(settings.items()))
    if key not in _apps:
        _apps[key] = celery_app.make_app(**settings)
    return _apps[key]


def send(name: str, args: Any, kwargs: Any, options: dict[str, Any], settings: dict[str, Any] | None = None) -> str:
    """Send a task by its name; signatures in `options` may be dicts."""
    app = _app(settings)
    for link in ("link", "link_error"):
        if link in options:
            options[link] = [app.signature(data) for data in options[link]]
    task = celery_app.app.tasks.get(name) if settings is None else None
    if task is None:
        return str(app.send_task(name, args, kwargs, **options).id)
    return str(task.apply_async(args, kwargs, **options).id)


def send_group(name: str, calls: list[Any], options: dict[str, Any]) -> list[str]:
    """Send a group of one task; the ids of its members."""
    task = celery_app.app.tasks[name]
    members = _celery.group(task.s(*args).set(**options) for args in calls)
    return [member.id for member in members.apply_async().results]


def send_tree(tree: Node, run: str, args: Any, kwargs: Any) -> Any:
    """Send a workflow; its result as a tuple."""
    return build(tree, celery_app.words, run).apply_async(args, kwargs).as_tuple()


def send_chord(header: list[Any], body: Any) -> Any:
    """Send a chord of signatures that are dicts; its result as a tuple."""
    app = celery_app.app
    members = [app.signature(member) for member in header]
    return _celery.chord(members, app.signature(body), app=app)().as_tuple()


def see(result: Any, timeout: float) -> Ending:
    """What such a result comes to."""
    return seen_of(_result.result_from_tuple(result, celery_app.app), time.monotonic() + timeout)


def get(task_id: str, timeout: float, settings: dict[str, Any] | None = None) -> Seen:
    """Wait for a result and show it."""
    result = _app(settings).AsyncResult(task_id)
    result.get(timeout=timeout, propagate=False)
    return describe(result)


def join(task_ids: list[str], timeout: float) -> list[Any]:
    """Wait for many results at once."""
    app = celery_app.app
    values: list[Any] = app.ResultSet([app.AsyncResult(task_id) for task_id in task_ids]).get(timeout=timeout)
    return values


def look(task_id: str) -> Seen:
    """Show a result as it is now."""
    return describe(celery_app.app.AsyncResult(task_id))


def store(task_id: str, value: Any, settings: dict[str, Any] | None = None) -> None:
    """Store a successful result as a worker does."""
    _app(settings).backend.store_result(task_id, value, "SUCCESS")


def save_group(group_id: str, task_ids: list[str]) -> None:
    """Save a group's result."""
    members = [celery_app.app.AsyncResult(task_id) for task_id in task_ids]
    _result.GroupResult(group_id, members, app=celery_app.app).save()


def restore_group(group_id: str) -> list[str] | None:
    """The ids of the members of a saved group."""
    group = celery_app.app.GroupResult.restore(group_id)
    return None if group is None else [member.id for member in group.results]


def restore() -> None:
    """Put back what dead workers hold, as any peer does after the visibility timeout."""
    app = _app({"broker_transport_options": {"visibility_timeout": 0}})
    with app.connection_for_write() as connection:
        connection.default_channel.qos.restore_visible(num=100)


_METHODS = {
    function.__name__: function
    for function in (
        send,
        send_group,
        send_tree,
        send_chord,
        see,
        get,
        join,
        look,
        store,
        save_group,
        restore_group,
        restore,
    )
}


def main() -> None:
    """Answer until the input ends."""
    questions = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    while True:
        try:
            method, arguments = pickle.load(questions)
        except EOFError:
            return
        try:
            answer = (True, _METHODS[method](**arguments))
        except Exception:  # noqa: BLE001 - the test shall see it
            answer = (False, traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
