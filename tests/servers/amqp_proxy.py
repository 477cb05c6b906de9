"""A TCP proxy before a RabbitMQ server that loses connections at a chosen method and counts methods; see `tcp_proxy`.

Reads AMQP 0-9-1 just well enough to tell methods apart. Where TLS is spoken it can not be used, but `TcpProxy` can.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .tcp_proxy import Connection, Stream, TcpProxy, Trap, Way

_METHOD: Final = 1
_HEADER: Final = 2
_BODY: Final = 3
_PROTOCOL_HEADER: Final = 8
_CLASSES: Final = {10: "connection", 20: "channel", 40: "exchange", 50: "queue", 60: "basic", 85: "confirm", 90: "tx"}
_METHODS: Final = {
    "connection": {10: "start", 11: "start-ok", 20: "secure", 21: "secure-ok", 30: "tune", 31: "tune-ok", 40: "open"}
    | {41: "open-ok", 50: "close", 51: "close-ok", 60: "blocked", 61: "unblocked", 70: "update-secret"},
    "channel": {10: "open", 11: "open-ok", 20: "flow", 21: "flow-ok", 40: "close", 41: "close-ok"},
    "exchange": {10: "declare", 11: "declare-ok", 20: "delete", 21: "delete-ok", 30: "bind", 31: "bind-ok"}
    | {40: "unbind", 51: "unbind-ok"},
    "queue": {10: "declare", 11: "declare-ok", 20: "bind", 21: "bind-ok", 30: "purge", 31: "purge-ok", 40: "delete"}
    | {41: "delete-ok", 50: "unbind", 51: "unbind-ok"},
    "basic": {10: "qos", 11: "qos-ok", 20: "consume", 21: "consume-ok", 30: "cancel", 31: "cancel-ok", 40: "publish"}
    | {50: "return", 60: "deliver", 70: "get", 71: "get-ok", 72: "get-empty", 80: "ack", 90: "reject"}
    | {100: "recover-async", 110: "recover", 111: "recover-ok", 120: "nack"},
    "confirm": {10: "select", 11: "select-ok"},
    "tx": {10: "select", 11: "select-ok", 20: "commit", 21: "commit-ok", 30: "rollback", 31: "rollback-ok"},
}
#: Methods that content follows: they pass, or do not pass, together with it.
_WITH_CONTENT: Final = frozenset({"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"})


class AmqpPoint(Enum):
    """What is done to the method that matches."""

    #: It never arrives; the connection is cut.
    CUT_BEFORE = "cut before"
    #: It arrives with its content; then the connection is cut.
    CUT_AFTER = "cut after"
    #: It waits in the proxy with all that follows on any connection, in both ways, until `TcpProxy.release`.
    HOLD = "hold"


@dataclass(frozen=True)
class Method:
    """A method on its way, with the content that follows it."""

    way: Way
    #: As in the specification: `basic.publish`, `queue.declare-ok`.
    name: str
    channel: int
    #: Its arguments, then the content's header and body, as they are on the wire.
    payload: bytes


Match = Callable[[Method], bool]


@dataclass
class _Rule:
    matches: Match
    point: AmqpPoint
    trap: Trap


def method(name: str, *containing: bytes, way: Way | None = None) -> Match:
    """Matches methods of this name that go this way, if one is given, and hold all of `containing`.

    Which way is needed for `basic.ack` and `basic.nack` alone: as requests they settle a delivery, as replies they
    confirm a message.
    """
    return lambda seen: (
        seen.name == name and way in {None, seen.way} and all(part in seen.payload for part in containing)
    )


class AmqpProxy(TcpProxy):
    """Listens on a free port and passes all on to `port`; runs from the start of the block to its end.

    Example:
        with AmqpProxy(server.port) as proxy:
            confirm_lost = proxy.at(method("basic.ack", way="replies"), AmqpPoint.CUT_BEFORE)
            ...
            confirm_lost.wait()
            assert proxy.counts["requests", "basic.publish"] == 1
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._rules: list[_Rule] = []
        #: Methods that have come to the proxy, by way and name. Heartbeats are `heartbeat`.
        self.counts: Counter[tuple[Way, str]] = Counter()

    def at(self, matches: Match, point: AmqpPoint) -> Trap:
        """Do `point` to the next method that matches, once."""
        trap = Trap(point.value, self._loop)
        self._in_loop(lambda: self._rules.append(_Rule(matches, point, trap)))
        return trap

    # -- inside the loop -----------------------------------------------------------------------------------

    def connection(self, client: Stream, server: Stream) -> Connection:
        """One that knows where methods end."""
        return _AmqpConnection(self, client, server)

    def rule_for(self, seen: Method) -> _Rule | None:
        """Count the method; the rule that it has met, which is used up now."""
        self.counts[seen.way, seen.name] += 1
        for rule in self._rules:
            if rule.matches(seen):
                self._rules.remove(rule)
                return rule
        return None


class _AmqpConnection(Connection):
    def __init__(self, proxy: AmqpProxy, client: Stream, server: Stream) -> None:
        super().__init__(proxy, client, server)
        self._proxy = proxy

    async def forward(self, way: Way) -> None:
        """Whole methods, each with its content."""
        if way == "requests":
            await self.pass_on(await self._readers[way].readexactly(_PROTOCOL_HEADER), way)
        while True:
            raw, seen = await self._read_method(way)
            rule = self._proxy.rule_for(seen)
            if rule is None:
                await self.pass_on(raw, way)
                continue
            if rule.point is AmqpPoint.CUT_BEFORE:
                self.cut()
            if rule.point is AmqpPoint.HOLD:
                self._proxy.stop_flow()
            if rule.point is not AmqpPoint.CUT_AFTER:
                rule.trap.spring()
            if rule.point is AmqpPoint.CUT_BEFORE:
                return
            await self.pass_on(raw, way)
            if rule.point is AmqpPoint.CUT_AFTER:
                try:
                    await self.cut_behind(way)
                finally:  # cancelled when the other way ends
                    rule.trap.spring()
                return

    async def _read_method(self, way: Way) -> tuple[bytes, Method]:
        reader = self._readers[way]
        raw, kind, channel, payload = await _read_frame(reader)
        name = _name(kind, payload)
        if name not in _WITH_CONTENT:
            return raw, Method(way, name, channel, payload)
        # Nothing else comes between a method and its content on the same channel; on others it may.
        parts, content, missing = [raw], [payload], -1
        while missing:
            raw, kind, other, payload = await _read_frame(reader)
            parts.append(raw)
            if other != channel:
                self._proxy.counts[way, _name(kind, payload)] += 1
                continue
            content.append(payload)
            missing = int.from_bytes(payload[4:12], "big") if kind == _HEADER else missing - len(payload)
        return b"".join(parts), Method(way, name, channel, b"".join(content))


async def _read_frame(reader: asyncio.StreamReader) -> tuple[bytes, int, int, bytes]:
    head = await reader.readexactly(7)
    rest = await reader.readexactly(int.from_bytes(head[3:], "big") + 1)
    return head + rest, head[0], int.from_bytes(head[1:3], "big"), rest[:-1]


def _name(kind: int, payload: bytes) -> str:
    if kind != _METHOD:
        return {_HEADER: "header", _BODY: "body"}.get(kind, "heartbeat")
    family = _CLASSES.get(int.from_bytes(payload[:2], "big"), "unknown")
    return f"{family}.{_METHODS.get(family, {}).get(int.from_bytes(payload[2:4], 'big'), 'unknown')}"
