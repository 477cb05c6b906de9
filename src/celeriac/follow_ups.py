"""What a finished run causes: links on success, errbacks on failure.

Owns how they are called. Those that are sent become publications of the run's outcome, so that they are stored in one
step with its result and its acknowledgement. The signals of publishing are sent here, where the program's receivers
are; so `after_task_publish` comes before anything is written, and again with other ids if the worker dies before that.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from celeriac.call_options import CALL_OPTION_NAMES
from celeriac.calling import announce, announce_sent, note_child
from celeriac.canvas.signature import Signature
from celeriac.message import Publication
from celeriac.publications import Call, make_publication
from celeriac.records import reply_queue
from celeriac.remote_errors import exception_to_meta
from celeriac.result import AsyncResult
from celeriac.routing import DESTINATION_OPTIONS, placed

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.einfo import ExceptionInfo
    from celeriac.request import Request

logger = logging.getLogger("celeriac.task")

#: The task that calls errbacks for runs which can not. Names of tasks that are not the user's begin so.
LATE_ERRBACK: Final = "celeriac.call_errback"
#: Fields of a request that mean nothing in another process.
_LOCAL_FIELDS: Final = frozenset({"children", "running", "entered", "pending_retry"})

#: Options of an errback that the task which calls it in its place shall have.
_KEPT_OPTIONS: Final = frozenset({*DESTINATION_OPTIONS, "priority", "reply_to"})

#: The run itself is parent and leads to the root, whatever was known when the link was made.
_OWN_ANCESTRY: Final = frozenset({"root_id", "parent_id"})


class Errbacks(NamedTuple):
    """What is left to do of a failure's errbacks: messages to send, coroutines to await."""

    publications: tuple[Publication, ...] = ()
    coroutines: tuple[Coroutine[Any, Any, object], ...] = ()


def find_unsupported(signatures: Sequence[Mapping[str, Any]] | None) -> str | None:
    """Name the first signature that this version could not call."""
    for signature in signatures or ():
        if signature.get("subtask_type") is not None or not isinstance(signature.get("task"), str):
            return str(signature.get("subtask_type") or signature)
        if (signature.get("options") or {}).get("chord"):
            return "chord"
    return None


def links(
    app: Celeriac, request: Request, callbacks: Sequence[Mapping[str, Any]], retval: Any
) -> tuple[Publication, ...]:
    """The messages for `link=`: each gets the result as its first argument, unless it is immutable."""
    sent = [_publication(app, request, Signature.from_dict(callback, app), retval) for callback in callbacks]
    return tuple(placed(app, sent))


def call_errbacks(
    app: Celeriac, request: Request, signatures: Sequence[Mapping[str, Any]], einfo: ExceptionInfo
) -> Errbacks:
    """Deal with `link_error=` by Celery's rule.

    A task that this process knows and that takes more than one positional argument is called right here with
    `(request, exception, traceback)`; any other is sent with the failed task's id.
    """
    publications: list[Publication] = []
    coroutines: list[Coroutine[Any, Any, object]] = []
    for data in signatures:
        signature = Signature.from_dict(data, app)
        try:
            task = app.tasks.find(signature.task)
            if task is None or task.most_positional <= 1:
                publications.append(_publication(app, request, signature, request.id))
                continue
            called = signature(request, einfo.exception, einfo.traceback)
            if isinstance(called, Coroutine):
                coroutines.append(called)
        except Exception:
            # The failure that is being dealt with must be stored all the same.
            logger.exception("Errback %s of task %s[%s] raised", signature.task, request.task, request.id)
    return Errbacks(tuple(placed(app, publications)), tuple(coroutines))


def send_errbacks(
    app: Celeriac, request: Request, signatures: Sequence[Mapping[str, Any]], exc: BaseException
) -> tuple[Publication, ...]:
    """The messages for the errbacks of a run whose process can not call them any more.

    Those that want the exception are called by a task of our own (`celeriac.late_errbacks`).
    """
    publications: list[Publication] = []
    for data in signatures:
        unsupported = find_unsupported([data])
        if unsupported is not None:
            logger.error("Errback %s of task %s[%s] can not be called", unsupported, request.task, request.id)
            continue
        signature = Signature.from_dict(data, app)
        task = app.tasks.find(signature.task)
        if task is not None and task.most_positional > 1:
            arguments = (dict(signature), _fields_of(request), exception_to_meta(exc))
            options = {name: value for name, value in signature.options.items() if name in _KEPT_OPTIONS}
            signature = Signature(LATE_ERRBACK, arguments, {}, options, app=app, immutable=True)
        publications.append(_publication(app, request, signature, request.id))
    return tuple(placed(app, publications))


def _fields_of(request: Request) -> dict[str, Any]:
    """What of a request means something in another process."""
    fields = msgspec.structs.asdict(request)
    return {name: value for name, value in fields.items() if value is not None and name not in _LOCAL_FIELDS}


async def await_errbacks(request: Request, coroutines: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Run errbacks that are an `async def`."""
    for coroutine in coroutines:
        try:
            await coroutine
        except Exception:
            logger.exception("Errback %r of task %s[%s] raised", coroutine, request.task, request.id)


def _publication(app: Celeriac, request: Request, signature: Signature[Any], first: Any) -> Publication:
    args = signature.args if signature.immutable else (first, *signature.args)
    options = {
        name: value
        for name, value in signature.options.items()
        if name in CALL_OPTION_NAMES and name not in _OWN_ANCESTRY
    }
    # Who waits for the run's result can ask for those of its children; nobody waits here.
    options.setdefault("reply_to", reply_queue(request.reply_to))
    task = app.tasks.find(signature.task)
    # Arguments are not checked here: the linked task shall fail over them, not this one that has succeeded.
    call = Call(signature.task, args, signature.kwargs, options, task, checked=True)
    publication = make_publication(app, call)
    announce(publication, call)
    announce_sent(publication)
    note_child(request, AsyncResult(publication.message.headers["id"], task_name=signature.task, app=app))
    return publication
