"""A result as a message, in Celery's form.

The body is the meta, the correlation id the task's. What is compressed says so in the header `compression`, as all
messages of kombu's do, instead of in front of the meta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import BackendError
from celeriac.outcome import ResultRecord
from celeriac.result_meta import join_compressed, split_compressed
from celeriac.serialization.registry import codec_of
from celeriac.storage.rabbitmq.framing import Content
from celeriac.storage.rabbitmq.links import Parcel

if TYPE_CHECKING:
    import amqp

#: `delivery_mode`.
_TRANSIENT, _PERSISTENT = 1, 2
#: The longest name that AMQP can carry, in bytes.
_LONGEST_NAME: Final = 255
#: The type of a message that a process sends to itself, to see what has arrived before it.
_MARK: Final = "celeriac.mark"


class ReplyForm:
    """How results are sent.

    Args:
        serializer: `result_serializer`, by which the metas are encoded.
        persistent: `result_persistent`: RabbitMQ keeps them on disk.
    """

    def __init__(self, serializer: str, persistent: bool) -> None:
        codec = codec_of(serializer)
        self._properties: dict[str, Any] = {
            "content_type": codec.content_type,
            "content_encoding": codec.content_encoding,
            "delivery_mode": _PERSISTENT if persistent else _TRANSIENT,
            "priority": 0,
        }

    def parcel(self, record: ResultRecord) -> Parcel | None:
        """What is published for `record`; None if nobody named a queue for it, or none that can exist."""
        queue = record.reply_to
        if queue is None or not _is_name(queue):
            return None
        mime, body = split_compressed(record.meta)
        headers = {"compression": mime} if mime is not None else {}
        content = Content(body, application_headers=headers, correlation_id=record.task_id, **self._properties)
        # Mandatory, so that one hears of queues that are gone.
        return Parcel("", queue, content, mandatory=True)


def _is_name(queue: str) -> bool:
    """Whether AMQP can carry it. It came with a task, from whatever program."""
    try:
        return len(queue.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def mark_parcel(queue: str, name: str) -> Parcel:
    """A mark behind all that is in `queue` by now."""
    return Parcel("", queue, Content(b"", type=_MARK, correlation_id=name, delivery_mode=_TRANSIENT), mandatory=True)


def mark_of(content: amqp.Message) -> str | None:
    """The name of the mark that this is; None for a result."""
    properties = content.properties
    return str(properties.get("correlation_id")) if properties.get("type") == _MARK else None


def read_reply(content: amqp.Message, read_status: Callable[[bytes], str]) -> tuple[str, ResultRecord | str] | None:
    """The task's id with its state, or with why it can not be read; None for what is nobody's result.

    Args:
        content: what came.
        read_status: the state that a meta tells of; raises BackendError.
    """
    task_id = content.properties.get("correlation_id")
    if not isinstance(task_id, str) or not task_id:
        return None
    body = content.body
    raw = body.encode() if isinstance(body, str) else bytes(body)
    mime = (content.headers or {}).get("compression")
    meta = join_compressed(str(mime), raw) if mime else raw
    try:
        return task_id, ResultRecord(task_id, read_status(meta), meta)
    except BackendError as error:
        return task_id, str(error)
    except Exception as error:  # noqa: BLE001 - it would come again and again; whoever asks for it is told
        return task_id, f"a result can not be read: {error!r}"
