"""Result records: what is stored of a run, encoded where it ran.

Owns which settings and fields of a request go into a record. The bytes are `celeriac.result_meta`'s.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac import states
from celeriac.outcome import ResultRecord
from celeriac.request import Request, current_request
from celeriac.result_meta import encode_meta

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.task import Task

#: How many of the steps before it a result that is stored tells of: serialisers nest some hundred levels.
MOST_PARENTS: Final = 50


def result_record(
    app: Celeriac, request: Request, status: str, result: Any, traceback: str | None = None
) -> ResultRecord:
    """The record of a run's state.

    Raises:
        EncodeError: `result` can not be serialised.
    """
    conf = app.conf
    assert request.id is not None
    meta = encode_meta(
        task_id=request.id,
        status=status,
        result=result,
        traceback=traceback,
        children=[child.as_tuple(MOST_PARENTS) for child in request.children],
        date_done=app.now() if status in states.READY_STATES else None,
        group_id=request.group,
        parent_id=request.parent_id,
        extended=_extended(request) if conf.result_extended else None,
        serializer=conf.result_serializer,
        compression=conf.result_compression,
    )
    return ResultRecord(request.id, status, meta, result_ttl(app, status), reply_queue(request.reply_to))


def state_record(task: Task[Any, Any], task_id: str | None, state: str | None, meta: Any) -> ResultRecord:
    """The record of a state of the task's own.

    Raises:
        ValueError: no state, or no task id outside a run.
        TypeError: the state is no text.
    """
    if state is not None and not isinstance(state, str):
        raise TypeError(
            f"the state that update_state of task {task.name} sets must be a text, not {state!r:.100}. The task id "
            "comes first, so name the others: update_state(state='PROGRESS', meta=...)"
        )
    running = current_request.get()
    task_id = task_id or task.request.id
    if task_id is None:
        raise ValueError(f"update_state of task {task.name} outside a run of it: say whose with task_id=")
    if not state:
        raise ValueError(f"update_state of task {task.name} needs a state, such as state='PROGRESS'")
    request = running if running is not None and running.id == task_id else Request(id=task_id, task=task.name)
    return result_record(task.app, request, state, meta)


def reply_queue(named: object) -> str | None:
    """The queue that a message names for its result (`reply_to`), if it is fit to be the name of one."""
    if not isinstance(named, str) or not named:
        return None
    if named.isascii():
        return named
    try:
        named.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no store and no socket takes
        return None
    return named


def result_ttl(app: Celeriac, status: str) -> float | None:
    """Seconds after which a result of this status may be swept, or None to keep it."""
    expires: Any = app.conf.result_expires
    if status == states.FAILURE and app.conf.result_failure_expires is not None:
        expires = app.conf.result_failure_expires
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
    return float(seconds) if seconds else None


def chord_ttl(app: Celeriac) -> float | None:
    """Seconds after which what is kept of a chord may be swept if nothing happens to it, or None to keep it."""
    expires: Any = app.conf.result_chord_expires
    if expires is None:
        return result_ttl(app, states.SUCCESS)
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
    return float(seconds) if seconds else None


def _extended(request: Request) -> dict[str, Any]:
    """What `result_extended` adds."""
    return {
        "name": request.task,
        "args": request.args,
        "kwargs": request.kwargs,
        "worker": request.hostname,
        "retries": request.retries,
        "queue": (request.delivery_info or {}).get("routing_key"),
    }
