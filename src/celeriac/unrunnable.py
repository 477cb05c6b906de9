"""Messages that can not be run here, or not now: what is said, stored and told about them.

What can not be run is kept among the dead letters with the reason, and who waits for the result learns it, too.
"""

from __future__ import annotations

import logging
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac import signals, states
from celeriac.canvas.steps import check_depth, kind_of
from celeriac.exceptions import DecodeError, NotRegistered, NotSupported, Retry, TaskRevokedError
from celeriac.message import PARKED_HEADER
from celeriac.outcome import Discarded, Early, ResultRecord, Unrunnable
from celeriac.records import reply_queue, result_ttl
from celeriac.result_meta import failure_record
from celeriac.serialization.unread import read

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.message import Message
    from celeriac.protocol import Invocation

logger = logging.getLogger("celeriac.task")


class Refusal(NamedTuple):
    """Why a message was not run.

    Attributes:
        error: what is wrong.
        outcome: what becomes of the message.
    """

    error: Exception
    outcome: Unrunnable | Discarded | Early


def undecodable(app: Celeriac, message: Message, exc: Exception) -> Refusal:
    """The message is no task message, or its body can not be read or must not be."""
    task_id = message.headers.get("id")
    name = message.headers.get("task")
    reason = f"{type(exc).__name__}: {exc}"
    logger.error("Message of task %s[%s] can not be run: %s", name, task_id, reason)
    if signals.task_rejected.receivers:
        signals.task_rejected.send(sender=app, message=message, exc=exc)
    return Refusal(exc, Unrunnable(reason, _failure(app, task_id, message, message.headers, exc)))


def unknown(app: Celeriac, message: Message, invocation: Invocation) -> Refusal:
    """No task of this name is registered here."""
    exc = NotRegistered(app.tasks.describe_missing(invocation.task))
    logger.error(
        "Task %s[%s] can not be run: %s. It was called with %s %s",
        invocation.task,
        invocation.id,
        exc,
        invocation.headers.get("argsrepr"),
        invocation.headers.get("kwargsrepr"),
    )
    if signals.task_unknown.receivers:
        signals.task_unknown.send(sender=app, message=message, exc=exc, name=invocation.task, id=invocation.id)
    stored = NotRegistered(invocation.task)  # Celery's argument: the name
    return Refusal(
        exc, Unrunnable(f"NotRegistered: {exc}", _failure(app, invocation.id, message, invocation.headers, stored))
    )


def malformed(app: Celeriac, message: Message, invocation: Invocation, *, is_eager: bool) -> Refusal | None:
    """What comes after the task is no workflow, or can not be done with these stores; None if all is well.

    Asked before the run: afterwards there would be nobody to be told.
    """
    try:
        following = invocation.chain[-1:] if invocation.chain else ()  # the others are looked at in their turn
        for node in (*(invocation.callbacks or ()), *(invocation.errbacks or ()), *following):
            check_depth(node)
        if invocation.chord:
            kind_of(read(invocation.chord))
            if not is_eager:
                _ = app.chord_store
    except (TypeError, ValueError, NotSupported, DecodeError) as exc:
        logger.error("Task %s[%s] can not be run: %s", invocation.task, invocation.id, exc)
        failure = _failure(app, invocation.id, message, invocation.headers, exc)
        return Refusal(exc, Unrunnable(f"{type(exc).__name__}: {exc}", failure))
    return None


def untimely(app: Celeriac, message: Message, invocation: Invocation) -> Refusal | None:
    """A message of protocol 1 that has expired or comes before its time; None if it is to be run.

    The supervisor sees to that where it can. These times are in the body, which may be a pickle, and it opens none.
    """
    now, eta = app.clock.time(), invocation.eta
    if invocation.expires is not None and invocation.expires.timestamp() <= now:
        logger.info("Discarding expired task: %s[%s]", invocation.task, invocation.id)
        exc = TaskRevokedError("expired")
        record = _failure(app, invocation.id, message, invocation.headers, exc, states.REVOKED)
        return Refusal(exc, Discarded("expired", record))
    if eta is None or eta.timestamp() <= now or message.headers.get(PARKED_HEADER) == invocation.headers["eta"]:
        return None
    parked = copy(message)
    parked.headers = {**message.headers, PARKED_HEADER: invocation.headers["eta"]}
    return Refusal(Retry("not yet due", when=eta), Early(parked, eta.timestamp()))


def _failure(
    app: Celeriac,
    task_id: Any,
    message: Message,
    headers: dict[str, Any],
    exc: Exception,
    status: str = states.FAILURE,
) -> ResultRecord | None:
    if not isinstance(task_id, str) or not task_id or headers.get("ignore_result") or not app.stores_results:
        return None
    return failure_record(
        task_id,
        exc,
        status=status,
        now=app.now(),
        ttl=result_ttl(app, status),
        serializer=app.conf.result_serializer,
        reply_to=reply_queue((message.properties or {}).get("reply_to")),
    )
