"""A TCP proxy before a server that loses connections, holds, slows or refuses them. Runs in a thread of its own.

Knows nothing of what is said on a connection: `proxy` does for Redis, `amqp_proxy` for AMQP. Changes nothing that it
passes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

from .process import DEADLINE, ServerFailed, free_port

_LIMIT: Final = 1 << 20
#: Seconds for the last bytes to reach a side when the other has hung up.
_LAST_BYTES: Final = 2.0
#: Seconds for a side to read what must reach it, and hang up; a busy machine may need some of them.
_READING: Final = 15.0

T = TypeVar("T")
Way = Literal["requests", "replies"]
Side = Literal["client", "server"]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
WAYS: Final[tuple[Way, Way]] = ("requests", "replies")


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

    @property
    def is_sprung(self) -> bool:
        """The point has been reached."""
        return self._sprung.is_set()

    def wait(self, deadline: float = DEADLINE) -> None:
        """Return when the point has been reached.

        Raises:
            ServerFailed: not within `deadline` seconds.
        """
        if not self._sprung.wait(deadline):
            raise ServerFailed(f"not within {deadline:g} s: {self._what}")


@dataclass
class _Budget:
    left: int
    trap: Trap


class TcpProxy:
    """Listens on a free port and passes all on to `port`; runs from the start of the block to its end.

    Example:
        with TcpProxy(server.port) as proxy:
            ...
            proxy.forsake("client")  # the server is gone, and the client is not told
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._server: asyncio.Server | None = None
        self._flowing = {way: asyncio.Event() for way in WAYS}
        for flowing in self._flowing.values():
            flowing.set()
        self._budgets: dict[Way, _Budget] = {}
        self._slowness = 0.0
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    # -- what tests ask for --------------------------------------------------------------------------------

    def cut_after(self, size: int, way: Way) -> Trap:
        """From now on pass `size` bytes that way, all connections together; then cut the one with the last of them."""
        trap = Trap(f"cut after {size} bytes of {way}", self._loop)
        self._in_loop(lambda: self._budgets.update({way: _Budget(size, trap)}))
        return trap

    def cut(self) -> int:
        """Cut all connections now; how many there were."""
        return self._in_loop(self._cut_all)

    def hold(self, *ways: Way) -> None:
        """Pass nothing on, or nothing in these ways, until `release`.

        Connections stay open, and new ones are accepted.
        """
        self._in_loop(lambda: self.stop_flow(*ways))

    def release(self) -> None:
        """Pass on what was held, also at a point."""
        self._in_loop(self._flow_on)

    def slow(self, seconds: float) -> None:
        """Keep back each piece that is passed on so long, in both ways; 0 ends it."""
        self._in_loop(lambda: setattr(self, "_slowness", seconds))

    def forsake(self, side: Side) -> int:
        """Leave this side of all connections open and silent, and hang up on the other; how many there were.

        So it looks when the other machine is gone: nothing tells of it, and whatever is sent is lost. New connections
        work.
        """
        return self._in_loop(lambda: self._forsake_all(side))

    def refuse(self) -> None:
        """Let nobody connect (ECONNREFUSED) until `admit`; connections that are there go on."""
        self._run(self._stop_listening())

    def admit(self) -> None:
        """Listen again, on the same port, after `refuse`."""
        self._run(self._listen())

    # -- inside the loop -----------------------------------------------------------------------------------

    def connection(self, client: Stream, server: Stream) -> Connection:
        """How a connection is treated; a proxy that knows a protocol has its own."""
        return Connection(self, client, server)

    def _run(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    def _in_loop(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return self._run(run())

    async def _listen(self) -> None:
        for _ in range(10):
            port = self.port or free_port()
            with contextlib.suppress(OSError):  # somebody else was faster
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=_LIMIT)
                self.port = port
                return
        raise ServerFailed(f"the proxy finds no free port, or {self.port} is taken")

    async def _stop_listening(self) -> None:
        assert self._server is not None
        self._server.close()  # connections that it has accepted go on

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._target, limit=_LIMIT)
        except OSError:  # the server is away: so is the proxy
            writer.transport.abort()
            return
        connection = self.connection((reader, writer), upstream)
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

    def _forsake_all(self, side: Side) -> int:
        for connection in self._connections.values():
            connection.forsake(side)
        return len(self._connections)

    def _flow_on(self) -> None:
        for flowing in self._flowing.values():
            flowing.set()

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        self._flow_on()
        self._slowness = 0.0
        while self._connections:
            self._cut_all()
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    async def wait_to_flow(self, way: Way) -> None:
        """Return when nothing is held that way."""
        if self._slowness:
            await asyncio.sleep(self._slowness)
        await self._flowing[way].wait()

    def stop_flow(self, *ways: Way) -> None:
        """`hold`, for callers in the loop."""
        for way in ways or WAYS:
            self._flowing[way].clear()

    def spend(self, size: int, way: Way) -> tuple[int, Trap | None]:
        """How many of `size` bytes may pass, and what to spring if the connection is to be cut then."""
        budget = self._budgets.get(way)
        if budget is None or size < budget.left:
            if budget is not None:
                budget.left -= size
            return size, None
        del self._budgets[way]
        return budget.left, budget.trap


class Connection:
    """One client and its connection to the server."""

    def __init__(self, proxy: TcpProxy, client: Stream, server: Stream) -> None:
        self._flow = proxy
        self._readers: dict[Way, asyncio.StreamReader] = {"requests": client[0], "replies": server[0]}
        self._writers: dict[Way, asyncio.StreamWriter] = {"requests": server[1], "replies": client[1]}
        self._forsaken: Side | None = None
        self._is_cut = False

    async def run(self) -> None:
        """Pass on in both directions until one side hangs up."""
        ways = {asyncio.ensure_future(self.forward(way)) for way in WAYS}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)  # that a side has hung up is what ends them
        if self._forsaken is not None:
            await self._swallow(self._readers["requests" if self._forsaken == "client" else "replies"])
        elif not self._is_cut:
            await self._hang_up()

    def cut(self) -> None:
        """Hang up on both sides, without passing on what is on its way."""
        self._is_cut = True
        for writer in self._writers.values():
            writer.transport.abort()

    def forsake(self, side: Side) -> None:
        """Hang up on the other side without a word to this one."""
        self._forsaken = side
        self._writers["requests" if side == "client" else "replies"].transport.abort()

    async def forward(self, way: Way) -> None:
        """Pass on what comes until the sender hangs up."""
        while raw := await self.read(way):
            await self.pass_on(raw, way)

    async def read(self, way: Way) -> bytes:
        """What comes next; empty at the end."""
        return await self._readers[way].read(1 << 16)

    async def pass_on(self, raw: bytes, way: Way) -> None:
        """Send it when it may flow; the connection may be cut within it."""
        await self._flow.wait_to_flow(way)
        if self._is_cut:
            return
        writer = self._writers[way]
        passed, trap = self._flow.spend(len(raw), way)
        writer.write(raw[:passed])
        await writer.drain()
        if trap is not None:
            try:
                await self.cut_behind(way)
            finally:  # cancelled when the other way ends
                trap.spring()
            raise ConnectionAbortedError

    async def cut_behind(self, way: Way) -> None:
        """Cut when all that was sent that way is read; nothing comes back any more.

        Half-closed first: a socket closed with bytes of the other way unread resets the connection, and whoever is
        reset may lose what it has not read yet.
        """
        self._is_cut = True
        reader, writer = self._readers["replies" if way == "requests" else "requests"], self._writers[way]
        try:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                writer.write_eof()
                await asyncio.wait_for(self._at_end(reader), _READING)
        finally:
            self.cut()

    @staticmethod
    async def _at_end(reader: asyncio.StreamReader) -> None:
        """Return when its sender has hung up; somebody else reads."""
        while not reader.at_eof():
            await asyncio.sleep(0.001)

    async def _hang_up(self) -> None:
        """One side has hung up: what was on its way to the other gets there."""
        for writer in self._writers.values():
            writer.close()
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), _LAST_BYTES)

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(1 << 16):
                pass
