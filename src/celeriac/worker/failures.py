"""Results of attempts that can not report themselves: lost, timed out, expired.

The supervisor encodes these few itself; all other results are encoded where the task ran.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from celeriac import signals, states
from celeriac.attempt import failure_of
from celeriac.consequences import NOTHING, Consequences, of_unreadable, together
from celeriac.exceptions import CeleriacError
from celeriac.late_failures import late_failure
from celeriac.message import Delivery, PackedMessage, Publication, decode_head
from celeriac.outcome import ResultRecord
from celeriac.records import reply_queue, result_ttl
from celeriac.request import Request
from celeriac.result_meta import encode_meta, failure_record

if TYPE_CHECKING:
    from celeriac.app import Celeriac

#: Decoding these can run code of the sender's, which is for executors.
_UNSAFE_CONTENT: Final = frozenset({"pickle", "application/x-python-serialize"})

logger = logging.getLogger("celeriac.worker")


def wants_result(app: Celeriac, delivery: Delivery, *, error: bool) -> bool:
    """The task's result is stored: by its message, its task, its app."""
    head = delivery.head
    task = app.tasks.find(str(head.task))
    ignore = head.ignore_result
    if ignore is None:
        ignore = task.ignore_result if task is not None else app.conf.task_ignore_result
    if not ignore:
        return True
    store_errors = task.store_errors_even_if_ignored if task is not None else app.conf.task_store_errors_even_if_ignored
    return error and bool(store_errors)


def record_failure(
    app: Celeriac, delivery: Delivery, exception: BaseException, status: str = states.FAILURE
) -> ResultRecord | None:
    """The result to store for an attempt that ended with `exception`, or None if results are ignored."""
    task_id = delivery.head.id
    if not isinstance(task_id, str) or not wants_result(app, delivery, error=status == states.FAILURE):
        return None
    return failure_record(
        task_id,
        exception,
        status=status,
        ttl=result_ttl(app, status),
        serializer=app.conf.result_serializer,
        now=datetime.now(UTC),
        reply_to=_reply_queue(delivery.packed),
    )


def bare_failure(app: Celeriac, packed: PackedMessage, exception: BaseException) -> ResultRecord | None:
    """The result of an attempt that came to nothing: no more than the exception, and only where it can be stored."""
    try:
        head = packed.peek()
        if not isinstance(head.id, str) or head.ignore_result:
            return None
        return failure_record(
            head.id,
            exception,
            ttl=result_ttl(app, states.FAILURE),
            serializer=app.conf.result_serializer,
            now=datetime.now(UTC),
            reply_to=_reply_queue(packed),
        )
    except CeleriacError:
        return None  # an exception that can not be encoded, in an attempt that could not either


def safe_content(app: Celeriac) -> tuple[str, ...]:
    """Content types whose decoding runs no code of others: what a supervisor may look into."""
    return tuple(name for name in app.conf.accept_content if name not in _UNSAFE_CONTENT)


def record_started(app: Celeriac, delivery: Delivery, pid: int | None, hostname: str) -> ResultRecord:
    """The STARTED state of an attempt that has just begun."""
    task_id = str(delivery.head.id)
    meta = encode_meta(
        task_id=task_id,
        status=states.STARTED,
        result={"pid": pid, "hostname": hostname},
        traceback=None,
        children=None,
        date_done=None,
        serializer=app.conf.result_serializer,
    )
    # The properties are decoded for this one field: only where somebody may be told.
    reply_to = _reply_queue(delivery.packed) if app.replies is not None else None
    return ResultRecord(task_id, states.STARTED, meta, result_ttl(app, states.STARTED), reply_to)


def _reply_queue(packed: PackedMessage) -> str | None:
    """Where the sender of this message wants its result.

    Raises:
        DecodeError: the stored bytes are damaged.
    """
    return reply_queue(decode_head(packed.head)[1].get("reply_to"))


def request_of(delivery: Delivery, hostname: str) -> Request:
    """What signals of the supervisor are told about a message; its body is not decoded for it."""
    headers = delivery.message.headers
    return Request(
        id=headers.get("id"),
        task=headers.get("task"),
        argsrepr=headers.get("argsrepr"),
        kwargsrepr=headers.get("kwargsrepr"),
        root_id=headers.get("root_id"),
        parent_id=headers.get("parent_id"),
        group=headers.get("group"),
        retries=headers.get("retries") or 0,
        eta=headers.get("eta"),
        expires=headers.get("expires"),
        delivery_info={
            "exchange": "",
            "routing_key": delivery.queue,
            "priority": delivery.priority,
            "redelivered": delivery.redelivered,
        },
        hostname=hostname,
        headers=headers,
        called_directly=False,
    )


#: The end of a body without links, chain and chord, as most are.
_NOTHING_FOLLOWS: Final = re.compile(rb'"errbacks": ?null, ?"chain": ?null, ?"chord": ?null\}\]$')

#: The same of a pickle, whatever its protocol: the last keys are there once, each with None.
_NOTHING_FOLLOWS_PICKLE: Final = re.compile(
    rb"errbacks(?:\x94|q.|r....)N(?:\x8c.|X....)chain(?:\x94|q.|r....)N(?:\x8c.|X....)chord(?:\x94|q.|r....)Nu.{1,8}\Z",
    re.DOTALL,
)


def consequences(
    app: Celeriac,
    delivery: Delivery,
    exception: BaseException,
    status: str = states.FAILURE,
    *,
    calls_errbacks: bool = True,
) -> Consequences:
    """What this failure causes: errbacks, the end of its chain, its share in its chord."""
    packed = delivery.packed
    if packed.content_type in _UNSAFE_CONTENT:
        told = Consequences(flow=of_unreadable(delivery.message.headers, exception, delivery.queue))
        return together([told, _told_by_executor(app, delivery, exception, status, calls_errbacks=calls_errbacks)])
    if _NOTHING_FOLLOWS.search(packed.body):
        return NOTHING  # nearly all, and the body need not be decoded
    try:
        return failure_of(app, delivery.message, exception, status, delivery.queue, calls_errbacks=calls_errbacks)
    except Exception as error:  # noqa: BLE001 - what others have sent may be anything; the failure itself is written
        logger.warning("No errbacks for %s, nor is its chain told: %r", delivery.label, error)
        return Consequences(flow=of_unreadable(delivery.message.headers, exception, delivery.queue))


def _told_by_executor(
    app: Celeriac, delivery: Delivery, exception: BaseException, status: str, *, calls_errbacks: bool
) -> Consequences:
    """What has an executor unpickle the body and tell of the failure, if anything follows the task."""
    if _NOTHING_FOLLOWS_PICKLE.search(delivery.packed.body) or not _UNSAFE_CONTENT.intersection(
        app.conf.accept_content
    ):
        return NOTHING
    try:
        message = late_failure(app, delivery, exception, status, calls_errbacks=calls_errbacks)
    except CeleriacError as error:
        logger.warning("No errbacks for %s, nor is its chain told: %r", delivery.label, error)
        return NOTHING
    return Consequences((Publication(message, delivery.queue, delivery.priority),))


def announce_failure(app: Celeriac, delivery: Delivery, exception: BaseException) -> None:
    """Send `task_failure` for an attempt whose own process can not."""
    if not signals.task_failure.has_listeners():
        return
    signals.task_failure.send(
        sender=app.tasks.find(str(delivery.head.task)),
        task_id=delivery.head.id,
        exception=exception,
        args=(),
        kwargs={},
        traceback=None,
        einfo=None,
    )
