"""kombu's envelope: the JSON object in which a message lies in a list of Redis.

`{"body": base64, "content-encoding": ..., "content-type": ..., "headers": {...}, "properties": {...}}`, as Celery 5
writes it (kombu's `virtual` transport). Owns the properties that belong to the envelope (`body_encoding`,
`delivery_info`, `delivery_tag`, `priority`) and one header of ours, `x-celeriac-losses`: the history of a message
travels with it, also through a Celery worker's hands.

Reading takes what Celery takes, and what would stop a Celery worker (a body that is not base64, no JSON at all) becomes
a message with a damaged head, so that it can be buried.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import os
import uuid
from typing import Any, Final

import msgspec

from celeriac.exceptions import EncodeError
from celeriac.message import MIN_PRIORITY, OWN_HEADER_PREFIX, Head, Loss, Message, PackedMessage, encode_head
from celeriac.storage.codec import priority_level
from celeriac.storage.forks import renew_in_children

#: The header with the losses of a message.
LOSSES_HEADER: Final = f"{OWN_HEADER_PREFIX}losses"

_LOSSES_MARK: Final = b'"x-celeriac-losses"'
_DAMAGED_TYPE: Final = "application/octet-stream"
_BRACE: Final = ord("{")


class Opened(msgspec.Struct, frozen=True):
    """What was in an envelope.

    Attributes:
        packed: the message.
        priority: as it was sent, or the nearest there is.
        history: losses so far.
        head: the headers that matter, None if they are odd.
    """

    packed: PackedMessage
    priority: int
    history: tuple[Loss, ...]
    head: Head | None = None


class _Outgoing(msgspec.Struct):
    """In kombu's order; msgspec writes bytes as base64."""

    body: bytes
    content_encoding: str = msgspec.field(name="content-encoding")
    content_type: str = msgspec.field(name="content-type")
    headers: dict[str, Any]
    properties: dict[str, Any]


class _Incoming(msgspec.Struct):
    body: bytes
    headers: msgspec.Raw = msgspec.Raw(b"{}")
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    content_type: str = msgspec.field(name="content-type", default="application/json")
    content_encoding: str = msgspec.field(name="content-encoding", default="utf-8")


class _Properties(msgspec.Struct):
    """Those that reading needs."""

    priority: Any = 0
    body_encoding: Any = None


class _LossesOnly(msgspec.Struct):
    losses: tuple[Loss, ...] = msgspec.field(name=LOSSES_HEADER, default=())


class DeliveryTags:
    """Makes tags that no other process makes: a random part for the process, and a number."""

    def __init__(self) -> None:
        self.after_fork_in_child()
        renew_in_children(self)

    def after_fork_in_child(self) -> None:
        """The child's tags must differ from its parent's."""
        self._process = str(uuid.UUID(bytes=os.urandom(16), version=4))
        self._numbers = itertools.count(1)

    def draw(self) -> str:
        """Return a new tag."""
        return f"{self._process}-{next(self._numbers)}"


_tags: Final = DeliveryTags()
_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(_Incoming)
_properties_decoder: Final = msgspec.json.Decoder(_Properties)
_head_decoder: Final = msgspec.json.Decoder(Head)
_losses_decoder: Final = msgspec.json.Decoder(_LossesOnly)


def seal(message: Message, queue: str, priority: int, history: tuple[Loss, ...] = ()) -> bytes:
    """Put `message` into an envelope.

    Args:
        message: what to send.
        queue: where it goes.
        priority: 0 to 9; anything else counts as the nearest of them.
        history: its losses so far.

    Raises:
        EncodeError: a value in its headers or properties has no JSON form.

    Example:
        >>> seal(Message({"task": "add"}, {}, b"[]"), "celery", 0)[:40]
        b'{"body":"W10=","content-encoding":"utf-8'
    """
    headers, properties = _as_sent(message, queue, priority)
    if history:
        headers = {**headers, LOSSES_HEADER: msgspec.to_builtins(history)}
        properties["delivery_info"]["redelivered"] = True
    envelope = _Outgoing(message.body, message.content_encoding, message.content_type, headers, properties)
    try:
        return _encoder.encode(envelope)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError):
        return _seal_oddly(envelope)


def opened(message: Message, queue: str, priority: int) -> Opened:
    """What `open_envelope` gives of what `seal` makes, without the way through the store.

    Raises:
        EncodeError: a value in its headers or properties has no JSON form.
    """
    headers, properties = _as_sent(message, queue, priority)
    head = encode_head(Message(headers, properties, b""))
    packed = PackedMessage(head, message.body, message.content_type, message.content_encoding)
    return Opened(packed, priority_level(priority), (), Head.of(headers))


def open_envelope(raw: bytes) -> Opened:
    """Read an envelope. What can not be read comes out as a message with a damaged head and `raw` as its body."""
    try:
        envelope = _decoder.decode(raw)
        properties = _properties_decoder.decode(envelope.properties)
        if properties.body_encoding != "base64" or memoryview(envelope.headers)[0] != _BRACE:
            return _open_oddly(raw)
        head = _head_decoder.decode(envelope.headers)
        history = _losses_decoder.decode(envelope.headers).losses if _LOSSES_MARK in raw else ()
    except (ValueError, RecursionError, msgspec.DecodeError):
        return _open_oddly(raw)
    packed = PackedMessage(
        b"[%b,%b]" % (envelope.headers, envelope.properties),
        envelope.body,
        envelope.content_type,
        envelope.content_encoding,
    )
    return Opened(packed, _number(properties.priority), history, head)


def _as_sent(message: Message, queue: str, priority: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Headers and properties of a message that goes to a queue anew."""
    headers = message.headers
    if LOSSES_HEADER in headers:
        headers = {name: value for name, value in headers.items() if name != LOSSES_HEADER}
    properties = {
        **message.properties,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": priority_level(priority),
        "body_encoding": "base64",
        "delivery_tag": _tags.draw(),
    }
    return headers, properties


def _seal_oddly(envelope: _Outgoing) -> bytes:
    """What msgspec refuses and the library's own codec does not: lone surrogates, integers of any size."""
    fields = {
        "body": base64.b64encode(envelope.body).decode("ascii"),
        "content-encoding": envelope.content_encoding,
        "content-type": envelope.content_type,
        "headers": envelope.headers,
        "properties": envelope.properties,
    }
    try:
        return json.dumps(fields).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise EncodeError(
            f"the message's headers or properties can not be stored as JSON: {exc}; "
            "use strings, numbers, lists and dictionaries there"
        ) from exc


def _open_oddly(raw: bytes) -> Opened:
    """Envelopes that are not as Celery writes them: another body encoding, no headers, NaN, lone surrogates, ..."""
    try:
        fields = json.loads(raw)
        headers, properties = fields.get("headers") or {}, fields.get("properties") or {}
        body = _body(fields["body"], properties.get("body_encoding"))
        losses = headers.get(LOSSES_HEADER) or ()
        head = encode_head(Message(headers, properties, b""))
        packed = PackedMessage(
            head,
            body,
            str(fields.get("content-type", "application/json")),
            str(fields.get("content-encoding", "utf-8")),
        )
        return Opened(packed, _number(properties.get("priority")), msgspec.convert(losses, tuple[Loss, ...]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, EncodeError, msgspec.ValidationError):
        return Opened(PackedMessage(b"", raw, _DAMAGED_TYPE, "binary"), 0, ())


def _body(text: Any, encoding: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("the body of an envelope is a text")
    if encoding != "base64":
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("the body is not base64") from error


def _number(priority: object) -> int:
    return priority_level(priority) if type(priority) is int else MIN_PRIORITY
