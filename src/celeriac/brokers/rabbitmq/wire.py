"""From messages to contents of AMQP and back.

Headers and properties are Celery's, with Celery's types on the wire (py-amqp's, which kombu uses too). AMQP has a fixed
set of properties; others do not travel, as with Celery. What a table of AMQP can not hold (integers beyond 64 bits,
long names) goes as JSON in one header of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.brokers.rabbitmq import delays
from celeriac.brokers.rabbitmq.naming import (
    COUNT_HEADER,
    DEAD,
    DUE_HEADER,
    HEAD_HEADER,
    HOLD_HEADER,
    LOSSES_HEADER,
    PASSING_HEADERS,
)
from celeriac.exceptions import DecodeError, EncodeError, StoreRefused
from celeriac.message import MIN_PRIORITY, Head, Loss, Message, PackedMessage, decode_head, encode_head
from celeriac.storage.codec import priority_level
from celeriac.storage.rabbitmq.framing import Content

if TYPE_CHECKING:
    import amqp

#: Properties that AMQP has, beside those that are made here.
_PROPERTIES: Final = (
    "delivery_mode",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
)
_PERSISTENT: Final = 2
#: Properties of a message must fit into one frame (131,072 bytes, if the server allows as much).
_MOST_HEAD_BYTES: Final = 130_000
_DAMAGED_TYPE: Final = "application/octet-stream"

_losses_type: Final = tuple[Loss, ...]


class Arrival(msgspec.Struct, frozen=True):
    """What came from the server.

    Attributes:
        packed: the message; its head is empty when it is damaged.
        head: the headers that matter.
        priority: as it was sent, or the nearest there is.
        history: losses that its headers tell of.
        due: Unix time before which it is not to be given out, or None.
        hold: the name of its stay in a queue for what is held long, or None.
        redelivered: it was delivered before, and not acknowledged; or the server was killed, and does not know.
        counted: a quorum queue says so, which knows what it has delivered.
    """

    packed: PackedMessage
    head: Head | None
    priority: int
    history: tuple[Loss, ...]
    due: float | None
    hold: str | None
    redelivered: bool
    counted: bool = False


def content_of(
    message: Message, priority: int, history: tuple[Loss, ...] = (), extra: Mapping[str, Any] | None = None
) -> Content:
    """Put `message` into a content.

    Args:
        message: what to send.
        priority: 0 to 9; anything else counts as the nearest of them. RabbitMQ takes the highest first, and only from
            queues that were declared with `x-max-priority`.
        history: its losses so far.
        extra: headers to add.

    Raises:
        EncodeError: a value in its headers or properties has no form.
        StoreRefused: its headers are too large for AMQP.
    """
    headers = message.headers
    if not PASSING_HEADERS.isdisjoint(headers):
        headers = {name: value for name, value in headers.items() if name not in PASSING_HEADERS}
    added = dict(extra or ())
    if history:
        added[LOSSES_HEADER] = msgspec.to_builtins(history)
    properties = {name: message.properties[name] for name in _PROPERTIES if message.properties.get(name) is not None}
    properties.setdefault("delivery_mode", _PERSISTENT)
    properties["priority"] = priority_level(priority)
    properties["content_type"] = message.content_type
    properties["content_encoding"] = message.content_encoding
    content = Content(message.body, **properties, application_headers={**headers, **added} if added else headers)
    try:
        size = content.encode()
    except Exception:  # noqa: BLE001 - py-amqp raises what its packing raises: struct.error, TypeError, ...
        content, size = _oddly(message, added, priority)
    if size > _MOST_HEAD_BYTES:
        raise StoreRefused(
            f"the headers of {Head.of(message.headers)} take {size} bytes, and RabbitMQ takes {_MOST_HEAD_BYTES} at "
            "most: put large values into the arguments"
        )
    return content


def _oddly(message: Message, added: Mapping[str, Any], priority: int) -> tuple[Content, int]:
    """Headers and properties as JSON in one header."""
    head = encode_head(Message(_plain(message.headers), message.properties, b""))
    content = Content(
        message.body,
        application_headers={HEAD_HEADER: head.decode(), **added},
        delivery_mode=_PERSISTENT,
        priority=priority_level(priority),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
    )
    try:
        return content, content.encode()
    except Exception as error:
        raise EncodeError(f"the message can not be put into AMQP: {error!r}; use shorter names and types") from error


def _plain(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in headers.items() if name not in PASSING_HEADERS}


def read_content(content: amqp.Message, *, redelivered: bool) -> Arrival:
    """Read what came. What can not be read comes out as a message with a damaged head."""
    body = content.body if isinstance(content.body, bytes) else b""
    properties: dict[str, Any] = content.properties
    headers = properties.pop("application_headers", None) or {}
    if isinstance(content, Content) and content.damage is not None:
        return _damaged(body, redelivered=redelivered)
    try:
        losses = headers.get(LOSSES_HEADER)
        history = msgspec.convert(losses, _losses_type) if losses else ()
        due, hold = headers.get(DUE_HEADER), headers.get(HOLD_HEADER)
        odd, counted = headers.get(HEAD_HEADER), COUNT_HEADER in headers
        if not PASSING_HEADERS.isdisjoint(headers):
            headers = _plain(headers)
        # RabbitMQ sorts the headers of what it delivers again: so a message is known by its bytes the second time.
        headers = dict(sorted(headers.items()))
        content_type = str(properties.pop("content_type", "application/json"))
        encoding = str(properties.pop("content_encoding", "utf-8"))
        if odd is not None:
            headers, properties = decode_head(odd.encode("utf-8", "surrogatepass"))
        if place := _place(content.delivery_info or {}):
            properties["delivery_info"] = place
        packed = PackedMessage(encode_head(Message(headers, properties, b"")), body, content_type, encoding)
    except (DecodeError, EncodeError, ValueError, AttributeError, TypeError, msgspec.ValidationError):
        return _damaged(body, redelivered=redelivered)
    priority = properties.get("priority")
    return Arrival(
        packed,
        Head.of(headers),
        priority_level(priority) if type(priority) is int else MIN_PRIORITY,
        history,
        float(due) if isinstance(due, int | float) else None,
        hold if isinstance(hold, str) else None,
        redelivered,
        counted,
    )


def _place(info: Mapping[str, Any]) -> dict[str, str] | None:
    """Where it was published, if that was an exchange of the user's: tasks can see it."""
    exchange = info.get("exchange") or ""
    if not exchange or exchange == DEAD or exchange.startswith(delays.LEVEL_PREFIX):
        return None
    return {"exchange": exchange, "routing_key": info["routing_key"]}


def _damaged(body: bytes, *, redelivered: bool) -> Arrival:
    packed = PackedMessage(b"", body, _DAMAGED_TYPE, "binary")
    return Arrival(packed, None, MIN_PRIORITY, (), None, None, redelivered)
