"""The task that tells of failures whose messages a supervisor does not read: those that are pickles.

What comes after a task is in the body of its message, and unpickling can run anything, which is for executors. So the
supervisor, when it writes such a failure, sends the message on to this task. A Celery worker does not know it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.attempt import failure_of
from celeriac.canvas.freezing import new_id
from celeriac.message import PackedMessage
from celeriac.protocol import task_message
from celeriac.remote_errors import exception_from_meta, exception_to_meta
from celeriac.request import current_request
from celeriac.task import Task

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.message import Delivery, Message

#: Names of tasks that are not the user's begin so.
LATE_FAILURE: Final = "celeriac.tell_failure"


def late_failure(
    app: Celeriac, delivery: Delivery, exception: BaseException, status: str, *, calls_errbacks: bool
) -> Message:
    """The message that has an executor tell of a failure.

    Args:
        app: whose task has failed.
        delivery: what was to be run.
        exception: what it failed with.
        status: FAILURE or REVOKED.
        calls_errbacks: errbacks are called for this kind of failure.

    Raises:
        EncodeError, MessageTooLarge: it can not be made.
    """
    packed = delivery.packed
    task_id = delivery.head.id if isinstance(delivery.head.id, str) else None
    return task_message(
        task=LATE_FAILURE,
        task_id=new_id(),
        args=(
            packed.head.decode(),
            b64encode(packed.body).decode(),
            packed.content_type,
            packed.content_encoding,
            exception_to_meta(exception),
            status,
            delivery.queue,
            calls_errbacks,
        ),
        kwargs={},
        size_limit=app.conf.task_message_inflated_size_limit,  # the body is a third longer here, and was sent once
        argsrepr=f"({task_id!r}, ...)",
        ignore_result=True,
        parent_id=task_id,
    )


class LateFailure(Task[[str, str, str, str, dict[str, Any], str, str, bool], None]):
    """Sends errbacks, and fails the rest of a chain."""

    name = LATE_FAILURE
    ignore_result = True

    def run(
        self,
        head: str,
        body: str,
        content_type: str,
        content_encoding: str,
        exception: dict[str, Any],
        status: str,
        queue: str,
        calls_errbacks: bool,
    ) -> None:
        """Tell who waits for the task.

        Args:
            head: headers and properties of its message, as stores keep them.
            body: the body, in base64.
            content_type: of the body.
            content_encoding: of the body.
            exception: what it failed with, as in result meta.
            status: FAILURE or REVOKED.
            queue: where it was taken from.
            calls_errbacks: errbacks are called for this kind of failure.

        Raises:
            InvalidTaskError, ContentDisallowed, DecodeError, MessageTooLarge: the message can not be read.
        """
        message = PackedMessage(head.encode(), b64decode(body), content_type, content_encoding).unpack()
        error = exception_from_meta(exception)
        follows = failure_of(self.app, message, error, status, queue, calls_errbacks=calls_errbacks)
        flow = follows.flow
        if flow is not None:  # the headers have told its own chord
            others = tuple(share for share in flow.shares if share.task_id != message.headers["id"])
            flow = msgspec.structs.replace(flow, shares=others, grown=())
        request = current_request.get()
        assert request is not None
        request.caused.append(follows._replace(flow=flow))
