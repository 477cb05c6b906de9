"""A TCP proxy before a Redis server that loses connections at a chosen point and counts commands; see `tcp_proxy`.

Reads RESP just well enough to tell where a command or a reply ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .tcp_proxy import Connection, Stream, TcpProxy, Trap, Way

_AGGREGATES: Final = b"*~>%|"

Match = Callable[[list[bytes]], bool]


class Point(Enum):
    """What is done to the command that matches."""

    #: It never reaches the server; the connection is cut.
    CUT_BEFORE = "cut before"
    #: The server has executed it; the connection is cut instead of passing the reply.
    CUT_AFTER = "cut after"
    #: It waits in the proxy until `RedisProxy.release`.
    HOLD = "hold"
    #: It alone waits in the proxy until `Trap.let_go`, and reaches the server then, even if its client has hung up.
    DELAY = "delay"


@dataclass
class _Rule:
    matches: Match
    point: Point
    trap: Trap


def named(name: str, *containing: bytes) -> Match:
    """Matches commands of this name, among whose arguments are all of `containing`."""
    wanted = name.upper().encode()
    return lambda command: command[0].upper() == wanted and all(part in command for part in containing)


class RedisProxy(TcpProxy):
    """Listens on a free port and passes all on to `port`; runs from the start of the block to its end.

    Example:
        with RedisProxy(server.port) as proxy:
            reply_lost = proxy.at(named("EVALSHA"), Point.CUT_AFTER)
            ...
            reply_lost.wait()
            assert proxy.counts["EVALSHA"] == 1
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._rules: list[_Rule] = []
        #: Commands that clients have sent, by name in capitals.
        self.counts: Counter[str] = Counter()

    def url(self, db: int = 0) -> str:
        """The URL for clients that shall come through here."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def at(self, matches: Match, point: Point) -> Trap:
        """Do `point` to the next command that matches, once."""
        trap = Trap(point.value, self._loop)
        self._in_loop(lambda: self._rules.append(_Rule(matches, point, trap)))
        return trap

    # -- inside the loop -----------------------------------------------------------------------------------

    def connection(self, client: Stream, server: Stream) -> Connection:
        """One that knows where commands and replies end."""
        return _RedisConnection(self, client, server)

    def rule_for(self, command: list[bytes]) -> _Rule | None:
        """Count the command; the rule that it has met, which is used up now."""
        self.counts[command[0].decode(errors="replace").upper()] += 1
        for rule in self._rules:
            if rule.matches(command):
                self._rules.remove(rule)
                return rule
        return None


class _RedisConnection(Connection):
    def __init__(self, proxy: RedisProxy, client: Stream, server: Stream) -> None:
        super().__init__(proxy, client, server)
        self._proxy = proxy
        self._sent = 0
        self._answered = 0
        self._last: int | None = None
        self._rule: _Rule | None = None
        self._delays = False

    async def forward(self, way: Way) -> None:
        """Commands one way, replies the other."""
        await (self._requests() if way == "requests" else self._replies())

    async def _requests(self) -> None:
        while True:
            raw, command = await _read_command(self._readers["requests"])
            rule = self._proxy.rule_for(command)
            if rule is not None and rule.point is Point.CUT_BEFORE:
                self.cut()
                rule.trap.spring()
                return
            if rule is not None and rule.point is Point.HOLD:
                self._proxy.stop_flow()
                rule.trap.spring()
            if rule is not None and rule.point is Point.DELAY:
                self._delays = True
                rule.trap.spring()
                await rule.trap.going.wait()
            self._sent += 1
            if rule is not None and rule.point in {Point.CUT_AFTER, Point.DELAY}:
                self._rule, self._last = rule, self._sent
            await self.pass_on(raw, "requests")
            if rule is not None and rule.point is Point.CUT_AFTER:
                await asyncio.Event().wait()  # whatever follows the command is lost with the connection
            if rule is not None and rule.point is Point.DELAY:
                await rule.trap.done.wait()

    async def _replies(self) -> None:
        while True:
            raw = await _read_reply(self._readers["replies"])
            self._answered += 1
            if self._rule is not None and self._answered == self._last:
                if self._rule.point is Point.DELAY:
                    self._rule.trap.answered()
                else:
                    self.cut()
                    self._rule.trap.spring()
                    return
            try:
                await self.pass_on(raw, "replies")
            except OSError:
                if not self._delays:  # else the client may be dead by now: what it has asked for is passed on later
                    raise


async def _read_command(reader: asyncio.StreamReader) -> tuple[bytes, list[bytes]]:
    head = await reader.readuntil(b"\r\n")
    if head[:1] != b"*":
        return head, head.split() or [b""]
    parts, raw = [], [head]
    for _ in range(int(head[1:])):
        size = await reader.readuntil(b"\r\n")
        body = await reader.readexactly(int(size[1:]) + 2)
        raw += (size, body)
        parts.append(body[:-2])
    return b"".join(raw), parts


async def _read_reply(reader: asyncio.StreamReader) -> bytes:
    raw, missing = [], 1
    while missing:
        missing -= 1
        head = await reader.readuntil(b"\r\n")
        raw.append(head)
        if head[:1] in b"$=!" and not head.startswith(b"$-1"):
            raw.append(await reader.readexactly(int(head[1:]) + 2))
        elif head[:1] in _AGGREGATES and not head.startswith(b"*-1"):
            missing += int(head[1:]) * (2 if head[:1] in b"%|" else 1) + (head[:1] == b"|")
    return b"".join(raw)
