"""Errbacks: how what is linked to a failure (`link_error`) is called.

Those that are sent become publications of the run's outcome, so that they are stored in one step with its result and
its acknowledgement. The signals of publishing are sent here, where the program's receivers are; so
`after_task_publish` comes before anything is written, and again with other ids if the worker dies before that.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from celeriac.canvas.signature import Signature
from celeriac.canvas.steps import kind_of
from celeriac.consequences import NOTHING, Consequences, sent, together
from celeriac.remote_errors import exception_to_meta
from celeriac.routing import DESTINATION_OPTIONS

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.einfo import ExceptionInfo
    from celeriac.request import Request

logger = logging.getLogger("celeriac.task")

#: The task that calls errbacks for runs which can not.
LATE_ERRBACK: Final = "celeriac.call_errback"
#: Fields of a request that mean nothing in another process.
_LOCAL_FIELDS: Final = frozenset(
    {"children", "running", "entered", "pending_retry", "caused", "added", "sent_chain", "sent_chord"}
)

#: Options of an errback that the task which calls it in its place shall have.
_KEPT_OPTIONS: Final = frozenset({*DESTINATION_OPTIONS, "priority", "reply_to"})


class Errbacks(NamedTuple):
    """What is left to do of a failure's errbacks: messages to send, coroutines to await."""

    consequences: Consequences = NOTHING
    coroutines: tuple[Coroutine[Any, Any, object], ...] = ()


def call_errbacks(
    app: Celeriac, request: Request, signatures: Sequence[Mapping[str, Any]], einfo: ExceptionInfo
) -> Errbacks:
    """Deal with `link_error=` by Celery's rule.

    A task that this process knows and that takes more than one positional argument is called right here with
    `(request, exception, traceback)`; any other, and every workflow, is sent with the failed task's id.
    """
    consequences: list[Consequences] = []
    coroutines: list[Coroutine[Any, Any, object]] = []
    for data in signatures:
        try:
            if not _wants_exception(app, data):
                consequences.append(sent(app, request, data, (request.id,)))
                continue
            called: object = Signature(data, app=app)(request, einfo.exception, einfo.traceback)
            if isinstance(called, Coroutine):
                coroutines.append(called)
        except Exception:
            # The failure that is being dealt with must be stored all the same.
            logger.exception("Errback %s of task %s[%s] raised", data.get("task"), request.task, request.id)
    return Errbacks(together(consequences), tuple(coroutines))


def send_errbacks(
    app: Celeriac, request: Request, signatures: Sequence[Mapping[str, Any]], exc: BaseException
) -> Consequences:
    """What is sent for the errbacks of a run whose process can not call them any more.

    Those that want the exception are called by a task of our own (`celeriac.late_errbacks`).
    """
    consequences: list[Consequences] = []
    for data in signatures:
        try:
            errback: Mapping[str, Any] = data
            if _wants_exception(app, data):
                arguments = (dict(data), _fields_of(request), exception_to_meta(exc))
                given = data.get("options") or {}
                options = {name: value for name, value in given.items() if name in _KEPT_OPTIONS}
                errback = Signature(LATE_ERRBACK, arguments, {}, options, app=app, immutable=True)
            consequences.append(sent(app, request, errback, (request.id,)))
        except Exception:
            # As above; and one that can not be called must not keep the others from it.
            logger.exception("Errback %s of task %s[%s] can not be called", data.get("task"), request.task, request.id)
    return together(consequences)


def _wants_exception(app: Celeriac, errback: Mapping[str, Any]) -> bool:
    if kind_of(errback):
        return False
    task = app.tasks.find(errback["task"])
    return task is not None and task.is_errback_with_exception(errback)


def _fields_of(request: Request) -> dict[str, Any]:
    """What of a request means something in another process."""
    fields = {**msgspec.structs.asdict(request), "chain": request.chain, "chord": request.chord}
    return {name: value for name, value in fields.items() if value is not None and name not in _LOCAL_FIELDS}


async def await_errbacks(request: Request, coroutines: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Run errbacks that are an `async def`."""
    for coroutine in coroutines:
        try:
            await coroutine
        except Exception:
            logger.exception("Errback %r of task %s[%s] raised", coroutine, request.task, request.id)
