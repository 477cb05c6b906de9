"""What producers and workers send to RabbitMQ, as it is on the wire: declarations, and messages with their AMQP types.

Reads no more of AMQP 0-9-1 than such methods need. Knows no client and no worker.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from servers.amqp_proxy import AmqpProxy, Method

#: Flags of a declaration, from the lowest bit.
_QUEUE_FLAGS: Final = ("passive", "durable", "exclusive", "auto_delete", "nowait")
_EXCHANGE_FLAGS: Final = ("passive", "durable", "auto_delete", "internal", "nowait")
#: The basic class's properties, from the highest bit of the flags.
_PROPERTIES: Final = (
    ("content_type", "s"),
    ("content_encoding", "s"),
    ("headers", "F"),
    ("delivery_mode", "B"),
    ("priority", "B"),
    ("correlation_id", "s"),
    ("reply_to", "s"),
    ("expiration", "s"),
    ("message_id", "s"),
    ("timestamp", "T"),
    ("type", "s"),
    ("user_id", "s"),
    ("app_id", "s"),
)
_NUMBERS: Final = {"B": ">B", "b": ">b", "I": ">i", "i": ">I", "l": ">q", "L": ">q", "d": ">d", "T": ">Q"}
Typed = tuple[str, Any]


class Published(NamedTuple):
    """A message as it was published.

    Attributes:
        exchange: where.
        routing_key: its key.
        properties: all but its headers.
        headers: with the letters of their AMQP types.
        body: its bytes.
    """

    exchange: str
    routing_key: str
    properties: dict[str, Any]
    headers: dict[str, Typed]
    body: bytes


class Recorder(AmqpProxy):
    """A proxy that keeps what clients send.

    Attributes:
        requests: all methods, in order.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.requests: list[Method] = []

    def rule_for(self, seen: Method) -> Any:
        """Keep it; see `AmqpProxy`."""
        if seen.way == "requests":
            self.requests.append(seen)
        return super().rule_for(seen)

    def published(self) -> list[Published]:
        """All messages so far."""
        return [read_publish(seen.payload) for seen in list(self.requests) if seen.name == "basic.publish"]

    def declared(self) -> list[tuple[str, dict[str, Any]]]:
        """All declarations and bindings so far, each once, without those that only ask whether something is there."""
        found: list[tuple[str, dict[str, Any]]] = []
        for seen in list(self.requests):
            reader = _DECLARATIONS.get(seen.name)
            one = None if reader is None else (seen.name, reader(_Reader(seen.payload[4:])))
            if one is not None and not one[1].pop("passive", False) and one not in found:
                found.append(one)
        return found


class _Reader:
    """Reads values one after the other."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, count: int) -> bytes:
        self._at += count
        return self._raw[self._at - count : self._at]

    def rest(self) -> bytes:
        return self._raw[self._at :]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        return self.take(self.number(">B")).decode()

    def flags(self, names: tuple[str, ...]) -> dict[str, bool]:
        bits = self.number(">B")
        return {name: bool(bits >> at & 1) for at, name in enumerate(names)}

    def table(self) -> dict[str, Typed]:
        inner = _Reader(self.take(self.number(">I")))
        return {name: inner.typed() for name in inner.names()}

    def names(self) -> Iterator[str]:
        while self._at < len(self._raw):
            yield self.text()

    def typed(self) -> Typed:
        kind = self.take(1).decode()
        return kind, self.value(kind)

    def value(self, kind: str) -> Any:
        match kind:
            case "s":
                return self.text()
            case "S":
                return self.take(self.number(">I")).decode()
            case "t":
                return bool(self.number(">B"))
            case "V":
                return None
            case "F":
                return self.table()
            case "A":
                inner, items = _Reader(self.take(self.number(">I"))), []
                while inner.rest():
                    items.append(inner.typed())
                return items
            case _:
                return self.number(_NUMBERS[kind])


def read_publish(payload: bytes) -> Published:
    """A message by what a client sent for it: the method, the frame of its header, its body."""
    reader = _Reader(payload)
    reader.take(6)
    exchange, routing_key, _ = reader.text(), reader.text(), reader.take(1)
    properties, headers = _read_header(reader)
    return Published(exchange, routing_key, properties, headers, reader.rest())


def read_header(frame: bytes) -> tuple[dict[str, Any], dict[str, Typed]]:
    """Properties and headers by the frame that holds them."""
    return _read_header(_Reader(frame))


def _read_header(reader: _Reader) -> tuple[dict[str, Any], dict[str, Typed]]:
    reader.take(12)
    flags = reader.number(">H")
    found = {name: reader.value(kind) for at, (name, kind) in enumerate(_PROPERTIES) if flags >> (15 - at) & 1}
    headers: dict[str, Typed] = found.pop("headers", {})
    return found, headers


def _exchange(reader: _Reader) -> dict[str, Any]:
    reader.take(2)
    found = {"exchange": reader.text(), "type": reader.text(), **reader.flags(_EXCHANGE_FLAGS)}
    del found["internal"], found["nowait"]
    return {**found, "arguments": reader.table()}


def _queue(reader: _Reader) -> dict[str, Any]:
    reader.take(2)
    found = {"queue": reader.text(), **reader.flags(_QUEUE_FLAGS)}
    del found["nowait"]
    return {**found, "arguments": reader.table()}


def _binding(reader: _Reader) -> dict[str, Any]:
    reader.take(2)
    found: dict[str, Any] = {"queue": reader.text(), "exchange": reader.text(), "routing_key": reader.text()}
    reader.take(1)
    return {**found, "arguments": reader.table()}


_DECLARATIONS: Final[dict[str, Callable[[_Reader], dict[str, Any]]]] = {
    "exchange.declare": _exchange,
    "queue.declare": _queue,
    "queue.bind": _binding,
}
