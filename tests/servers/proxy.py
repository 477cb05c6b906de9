"""A TCP proxy before a Redis server that loses connections at a chosen point, holds traffic and counts commands.

Reads RESP just well enough to tell where a command or a reply ends; changes nothing that it passes on. Runs in a thread
of its own, so that tests use it from anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

from .process import DEADLINE, ServerFailed

_LIMIT: Final = 1 << 20
_AGGREGATES: Final = b"*~>%|"

T = TypeVar("T")
Match = Callable[[list[bytes]], bool]
Way = Literal["requests", "replies"]


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


class Trap:
    """Something that happens once, when the traffic reaches a certain point."""

    def __init__(self, what: str, loop: asyncio.AbstractEventLoop) -> None:
        self._what = what
        self._loop = loop
        self._sprung = threading.Event()
        self._answered = threading.Event()
        #: The delayed command may go on; the server has answered it. Both belong to the loop.
        self.going = asyncio.Event()
        self.done = asyncio.Event()

    def let_go(self) -> None:
        """Pass on what is delayed, and return when the server has executed it."""
        self._loop.call_soon_threadsafe(self.going.set)
        if not self._answered.wait(DEADLINE):
            raise ServerFailed(f"not answered within {DEADLINE:g} s: {self._what}")

    def answered(self) -> None:
        """The server has executed the delayed command."""
        self.done.set()
        self._answered.set()

    def spring(self) -> None:
        """The point has been reached."""
        self._sprung.set()

    def wait(self, deadline: float = DEADLINE) -> None:
        """Return when the point has been reached.

        Raises:
            ServerFailed: not within `deadline` seconds.
        """
        if not self._sprung.wait(deadline):
            raise ServerFailed(f"not within {deadline:g} s: {self._what}")


@dataclass
class _Rule:
    matches: Match
    point: Point
    trap: Trap


@dataclass
class _Budget:
    left: int
    trap: Trap


def named(name: str, *containing: bytes) -> Match:
    """Matches commands of this name, among whose arguments are all of `containing`."""
    wanted = name.upper().encode()
    return lambda command: command[0].upper() == wanted and all(part in command for part in containing)


class RedisProxy:
    """Listens on a free port and passes all on to `port`; runs from the start of the block to its end.

    Example:
        with RedisProxy(server.port) as proxy:
            reply_lost = proxy.at(named("EVALSHA"), Point.CUT_AFTER)
            ...
            reply_lost.wait()
            assert proxy.counts["EVALSHA"] == 1
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="redis-proxy", daemon=True)
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._server: asyncio.Server | None = None
        self._rules: list[_Rule] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._budgets: dict[Way, _Budget] = {}
        self.port = 0
        #: Commands that clients have sent, by name in capitals.
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(DEADLINE)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    # -- what tests ask for --------------------------------------------------------------------------------

    def url(self, db: int = 0) -> str:
        """The URL for clients that shall come through here."""
        return f"redis://127.0.0.1:{self.port}/{db}"

    def at(self, matches: Match, point: Point) -> Trap:
        """Do `point` to the next command that matches, once."""
        trap = Trap(point.value, self._loop)
        self._in_loop(lambda: self._rules.append(_Rule(matches, point, trap)))
        return trap

    def cut_after(self, size: int, way: Way) -> Trap:
        """From now on pass `size` bytes that way, all connections together; then cut the one with the last of them."""
        trap = Trap(f"cut after {size} bytes of {way}", self._loop)
        self._in_loop(lambda: self._budgets.update({way: _Budget(size, trap)}))
        return trap

    def cut(self) -> int:
        """Cut all connections now; how many there were."""
        return self._in_loop(self._cut_all)

    def hold(self) -> None:
        """Pass nothing on until `release`; connections stay open, and new ones are accepted."""
        self._in_loop(self._flowing.clear)

    def release(self) -> None:
        """Pass on what was held, also at a point."""
        self._in_loop(self._flowing.set)

    # -- inside the loop -----------------------------------------------------------------------------------

    def _in_loop(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LIMIT)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target, limit=_LIMIT)
        except OSError:  # the server is away: so is the proxy
            writer.transport.abort()
            return
        connection = _Connection(self, (reader, writer), upstream)
        self._connections[task] = connection
        try:
            await connection.run()
        finally:
            connection.cut()
            del self._connections[task]

    def _cut_all(self) -> int:
        for connection in self._connections.values():
            connection.cut()
        return len(self._connections)

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        self._flowing.set()
        while self._connections:
            self._cut_all()
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    def rule_for(self, command: list[bytes]) -> _Rule | None:
        """Count the command; the rule that it has met, which is used up now."""
        self.counts[command[0].decode(errors="replace").upper()] += 1
        for rule in self._rules:
            if rule.matches(command):
                self._rules.remove(rule)
                return rule
        return None

    async def wait_to_flow(self) -> None:
        """Return when nothing is held."""
        await self._flowing.wait()

    def stop_flow(self) -> None:
        """`hold`, for callers in the loop."""
        self._flowing.clear()

    def spend(self, size: int, way: Way) -> tuple[int, Trap | None]:
        """How many of `size` bytes may pass, and what to spring if the connection is to be cut then."""
        budget = self._budgets.get(way)
        if budget is None or size < budget.left:
            if budget is not None:
                budget.left -= size
            return size, None
        del self._budgets[way]
        return budget.left, budget.trap


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """One client and its connection to the server."""

    def __init__(self, proxy: RedisProxy, client: _Stream, server: _Stream) -> None:
        self._proxy = proxy
        self._client_reader, self._client = client
        self._server_reader, self._server = server
        self._sent = 0
        self._answered = 0
        self._last: int | None = None
        self._rule: _Rule | None = None

    async def run(self) -> None:
        """Pass on in both directions until one side hangs up."""
        ways = {asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._replies())}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)  # that a side has hung up is what ends them

    def cut(self) -> None:
        """Hang up on both sides, without passing on what is on its way."""
        self._client.transport.abort()
        self._server.transport.abort()

    async def _requests(self) -> None:
        while True:
            raw, command = await _read_command(self._client_reader)
            rule = self._proxy.rule_for(command)
            if rule is not None and rule.point is Point.CUT_BEFORE:
                self.cut()
                rule.trap.spring()
                return
            if rule is not None and rule.point is Point.HOLD:
                self._proxy.stop_flow()
                rule.trap.spring()
            if rule is not None and rule.point is Point.DELAY:
                rule.trap.spring()
                await rule.trap.going.wait()
            self._sent += 1
            if rule is not None and rule.point in {Point.CUT_AFTER, Point.DELAY}:
                self._rule, self._last = rule, self._sent
            await self._pass(self._server, raw, "requests")
            if rule is not None and rule.point is Point.CUT_AFTER:
                await asyncio.Event().wait()  # whatever follows the command is lost with the connection
            if rule is not None and rule.point is Point.DELAY:
                await rule.trap.done.wait()

    async def _replies(self) -> None:
        while True:
            raw = await _read_reply(self._server_reader)
            self._answered += 1
            if self._rule is not None and self._answered == self._last:
                if self._rule.point is Point.DELAY:
                    self._rule.trap.answered()
                else:
                    self.cut()
                    self._rule.trap.spring()
                    return
            await self._pass(self._client, raw, "replies")

    async def _pass(self, writer: asyncio.StreamWriter, raw: bytes, way: Way) -> None:
        await self._proxy.wait_to_flow()
        passed, trap = self._proxy.spend(len(raw), way)
        writer.write(raw[:passed])
        await writer.drain()
        if trap is not None:
            writer.close()  # what was passed is delivered first
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.cut()
            trap.spring()
            raise ConnectionAbortedError


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
