"""Messages that can not be run here: what is said, stored and told about them.

They are kept among the dead letters with the reason, and who waits for the result learns it, too.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac import signals, states
from celeriac.exceptions import NotRegistered, NotSupported
from celeriac.follow_ups import find_unsupported
from celeriac.outcome import ResultRecord, Unrunnable
from celeriac.records import result_ttl
from celeriac.result_meta import failure_record

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
    outcome: Unrunnable


def undecodable(app: Celeriac, message: Message, exc: Exception) -> Refusal:
    """The message is no task message, or its body can not be read or must not be."""
    task_id = message.headers.get("id")
    name = message.headers.get("task")
    reason = f"{type(exc).__name__}: {exc}"
    logger.error("Message of task %s[%s] can not be run: %s", name, task_id, reason)
    if signals.task_rejected.receivers:
        signals.task_rejected.send(sender=app, message=message, exc=exc)
    return Refusal(exc, Unrunnable(reason, _failure(app, task_id, message.headers, exc)))


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
    return Refusal(exc, Unrunnable(f"NotRegistered: {exc}", _failure(app, invocation.id, invocation.headers, stored)))


def unsupported(app: Celeriac, invocation: Invocation) -> Refusal | None:
    """The message has what this version would silently drop; None if it has not."""
    if invocation.chain:
        what = "it is part of a chain"
    elif invocation.chord:
        what = "it is part of a chord"
    elif link := find_unsupported(invocation.callbacks) or find_unsupported(invocation.errbacks):
        what = f"it is linked to a {link}"
    else:
        return None
    exc = NotSupported(
        f"{what}, which this version can not run: what comes after it would be lost. "
        "Send its tasks one by one, or linked by link="
    )
    logger.error("Task %s[%s] can not be run: %s", invocation.task, invocation.id, exc)
    return Refusal(exc, Unrunnable(f"NotSupported: {exc}", _failure(app, invocation.id, invocation.headers, exc)))


def _failure(app: Celeriac, task_id: Any, headers: dict[str, Any], exc: Exception) -> ResultRecord | None:
    if not isinstance(task_id, str) or not task_id or headers.get("ignore_result") or not app.stores_results:
        return None
    return failure_record(
        task_id,
        exc,
        now=app.now(),
        ttl=result_ttl(app, states.FAILURE),
        serializer=app.conf.result_serializer,
    )
