"""Messages on their way to the server: their frames, and which of them the server has answered for.

The frames are those of sections 2.3.5 and 4.2 of the AMQP 0-9-1 specification: a method, a header, and as many bodies
as the size of frames asks for. Knows nothing of sockets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from amqp import spec

from celeriac.exceptions import StoreRefused

if TYPE_CHECKING:
    import amqp

_METHOD: Final = Struct(">BHIHHH")
_HEADER: Final = Struct(">BHIHHQ")
_BODY: Final = Struct(">BHI")
_END: Final = b"\xce"
_END_AND_BODY: Final = Struct(">BBHI")
#: Bytes of a frame that are not its payload.
_OVERHEAD: Final = 8
#: Class, weight and size, before the properties of a header.
_HEADER_FIELDS: Final = 12
_LONGEST_NAME: Final = 255
#: So many bytes are written at once: enough to make calls few, little enough to look at answers in between.
_PIECE_BYTES: Final = 131_072
_SLICE_BYTES: Final = 1_048_576


class Parcel(NamedTuple):
    """A message and where it goes.

    Attributes:
        exchange: empty for the default one, which leads to the queue that the routing key names.
        routing_key: how the exchange routes it.
        content: the message itself.
        mandatory: it comes back if it can not be routed to any queue; otherwise the server drops it then.
    """

    exchange: str
    routing_key: str
    content: amqp.Message
    mandatory: bool = False

    def has_id(self) -> bool:
        """Whether its message can be told from another one with the same body."""
        return bool(self.content.properties.get("message_id") or self.content.properties.get("correlation_id"))

    def is_same_as(self, other: Parcel) -> bool:
        """Whether sending both would be sending one of them twice."""
        return (
            (self.exchange, self.routing_key, self.mandatory) == (other.exchange, other.routing_key, other.mandatory)
            and self.content.body == other.content.body
            and self.content.properties == other.content.properties
        )


def pieces_of(parcels: Sequence[Parcel], channel: int, frame_max: int) -> Iterator[tuple[bytes | memoryview, int]]:
    """The frames of `parcels` in order, in pieces of a size to write at once, and how many parcels have ended by then.

    Raises:
        StoreRefused: one of them has no form: names are too long, or properties too large.
    """
    frames: list[bytes] = []
    size = written = 0
    for count, parcel in enumerate(parcels, 1):
        frame = frames_of(parcel, channel, frame_max)
        frames.append(frame)
        size += len(frame)
        if size >= _PIECE_BYTES or count == len(parcels):
            yield from _sliced(b"".join(frames), written, count)
            frames.clear()
            size, written = 0, count


def _sliced(data: bytes, before: int, after: int) -> Iterator[tuple[bytes | memoryview, int]]:
    """Large messages take long on slow ways: each slice that is written shows that it goes on."""
    if len(data) <= _SLICE_BYTES:
        yield data, after
        return
    whole = memoryview(data)
    for begin in range(0, len(data), _SLICE_BYTES):
        end = begin + _SLICE_BYTES
        yield whole[begin:end], after if end >= len(data) else before


def frames_of(parcel: Parcel, channel: int, frame_max: int) -> bytes:
    """All frames of one message.

    Raises:
        StoreRefused: it has no form.
    """
    content = parcel.content
    body = content.body
    if isinstance(body, str):
        body = body.encode(content.properties.setdefault("content_encoding", "utf-8"))
    properties = content._serialize_properties()  # noqa: SLF001 - py-amqp's own writer calls it from outside, too
    fields, most, size = _HEADER_FIELDS + len(properties), frame_max - _OVERHEAD, len(body)
    if fields > most:
        raise StoreRefused(
            f"the headers and properties of a message take {len(properties)} bytes, and RabbitMQ takes "
            f"{most - _HEADER_FIELDS} at most (its frame_max): put large values into the arguments"
        )
    method = _publish_method(parcel.exchange, parcel.routing_key, parcel.mandatory, channel)
    header = _HEADER.pack(2, channel, fields, spec.Basic.CLASS_ID, 0, size)
    if 0 < size <= most:
        return b"".join((method, header, properties, _END_AND_BODY.pack(0xCE, 3, channel, size), body, _END))
    frames: list[bytes | memoryview] = [method, header, properties, _END]
    for begin in range(0, size, most):
        part = body[begin : begin + most]
        frames += (_BODY.pack(3, channel, len(part)), part, _END)
    return b"".join(frames)


@lru_cache(maxsize=1024)
def _publish_method(exchange: str, routing_key: str, mandatory: bool, channel: int) -> bytes:
    names = b"".join(_short(name, what) for name, what in ((exchange, "exchange"), (routing_key, "routing key")))
    size = 4 + 2 + len(names) + 1
    return _METHOD.pack(1, channel, size, *spec.Basic.Publish, 0) + names + bytes((mandatory, 0xCE))


def _short(name: str, what: str) -> bytes:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise StoreRefused(f"the {what} {name!r} can not be put into AMQP: it is not text that UTF-8 has") from None
    if len(encoded) > _LONGEST_NAME:
        raise StoreRefused(f"the {what} {name!r} has {len(encoded)} bytes, and AMQP takes {_LONGEST_NAME} at most")
    return bytes((len(encoded),)) + encoded


class Confirms:
    """Which of a run of messages, numbered one after the other, the server has answered for.

    Args:
        last: the number before the first of them.

    Attributes:
        sent: the number of the last one that was written.
        refused: how many it has refused.
        refused_numbers: which ones.
    """

    def __init__(self, last: int) -> None:
        self.sent = last
        self.refused = 0
        self.refused_numbers: list[int] = []
        self._all_to = last
        self._beyond: set[int] = set()

    @property
    def missing(self) -> int:
        """How many it has not answered for."""
        return self.sent - self._all_to - len(self._beyond)

    def note(self, number: int, *, multiple: bool, refused: bool) -> None:
        """The server has answered for `number`, with `multiple` for all before it, too."""
        missing = self.missing
        if refused:
            start = self._all_to + 1 if multiple else max(number, self._all_to + 1)
            self.refused_numbers += [one for one in range(start, number + 1) if one not in self._beyond]
        if multiple:
            self._all_to = max(self._all_to, number)
            self._beyond = {one for one in self._beyond if one > self._all_to} if self._beyond else self._beyond
        elif number > self._all_to:
            self._beyond.add(number)
        while self._beyond and self._all_to + 1 in self._beyond:
            self._all_to += 1
            self._beyond.discard(self._all_to)
        if refused:
            self.refused += missing - self.missing
