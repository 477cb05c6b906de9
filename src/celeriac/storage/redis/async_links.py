"""Connections to Redis for event loops: one for many callers, pipelined.

Owns the order of requests and replies, deadlines, and what becomes of a connection after an error. See `links` for what
is sent twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError, ResponseError

from celeriac.storage.forks import renew_in_children
from celeriac.storage.redis.commands import Arg, Command, UnknownScript, packed, unwrapped, was_sent_elsewhere
from celeriac.storage.redis.errors import breaks_link, translate_error

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from celeriac.storage.redis.location import Location
    from celeriac.storage.redis.scripts import Script

_CLOSED_HERE: Final = "closed by this process"


class AsyncLink:
    """One connection for many callers of one event loop: requests go out as they come, replies come in their order.

    It connects at the first call and again after an error; who was waiting for a reply then gets the error. Cancelling
    a call does no harm: its reply is thrown away.

    Args:
        location: where to connect to.

    Attributes:
        generation: counts connections; state that belongs to a connection is gone when it has changed.
    """

    def __init__(self, location: Location) -> None:
        self.generation = 0
        self._location = location
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        """There is a connection, as far as is known."""
        return self._wire is not None and self._wire.is_up

    async def call(self, *args: Arg, timeout: float | None = None) -> Any:
        """Send one command and return its reply.

        Args:
            *args: the command.
            timeout: seconds to wait for the reply; None for the location's own bound.

        Raises:
            OperationalError: the server is away, or refuses for now.
            StoreRefused: it will never take this.
        """
        return (await self._exchange([args], transaction=False, timeout=timeout))[0]

    async def call_all(self, commands: Sequence[Command], *, transaction: bool = False) -> list[Any]:
        """Send commands in one trip and return their replies.

        Args:
            commands: at least one.
            transaction: between MULTI and EXEC.

        Raises:
            OperationalError, StoreRefused: as `call`; for the first command that failed, when all have been answered.
        """
        return await self._exchange(commands, transaction=transaction)

    async def run(self, script: Script, keys: Sequence[Arg], args: Sequence[Arg]) -> Any:
        """Run a script and return its reply.

        Raises:
            OperationalError, StoreRefused: as `call`.
        """
        try:
            return (await self._exchange([("EVALSHA", script.sha, len(keys), *keys, *args)]))[0]
        except UnknownScript:
            return (await self._exchange([("EVAL", script.text, len(keys), *keys, *args)]))[0]

    async def close(self) -> None:
        """Close the connection; calls that wait for a reply fail. The next call connects anew."""
        connecting = self._connecting
        self.abandon()
        await asyncio.gather(*(() if connecting is None else (connecting,)), *self._ending, return_exceptions=True)

    def abandon(self) -> None:
        """Close the connection without waiting for its end. To be called in the link's loop."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._wire is not None:
            self._wire.drop(ConnectionError(_CLOSED_HERE))

    async def _exchange(
        self, commands: Sequence[Command], *, transaction: bool = False, timeout: float | None = None
    ) -> list[Any]:
        data = packed(commands, transaction=transaction)
        expected = len(commands) + 2 * transaction
        replies = await self._send(data, expected, timeout)
        if was_sent_elsewhere(replies):
            replies = await self._send(data, expected, timeout)
        return unwrapped(replies, self._location.address, transaction=transaction)

    async def _send(self, data: Sequence[bytes], expected: int, timeout: float | None) -> list[Any]:
        wire = self._wire
        if wire is None or not wire.is_up:
            wire = await self._connect()
        loop = asyncio.get_running_loop()
        late = TimeoutError("no reply in time")
        deadline = loop.call_later(timeout or self._location.socket_timeout, wire.drop, late)
        try:
            replies = await wire.send(data, expected)
        except (RedisError, OSError) as error:
            raise translate_error(error, self._location.address) from error
        finally:
            deadline.cancel()
        if any(isinstance(reply, Exception) and breaks_link(reply) for reply in replies):
            wire.drop(ConnectionError("the server is not the one to ask any more"))
        return replies

    async def _connect(self) -> _Wire:
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._open())
            self._connecting.add_done_callback(self._end_connecting)
        try:
            await asyncio.shield(self._connecting)  # others may be waiting for it too
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is not None and caller.cancelling():
                raise
            raise translate_error(ConnectionError(_CLOSED_HERE), self._location.address) from None
        if self._wire is None or not self._wire.is_up:
            raise translate_error(ConnectionError("lost as soon as it was made"), self._location.address)
        return self._wire

    async def _open(self) -> None:
        connection = await self._location.aconnect()
        if self._wire is not None:
            self._wire.drop(ConnectionError("another one took its place"))
        self._wire = _Wire(connection)
        self.generation += 1
        self._ending.add(self._wire.reading)
        self._wire.reading.add_done_callback(self._ending.discard)

    def _end_connecting(self, task: asyncio.Task[None]) -> None:
        if self._connecting is task:
            self._connecting = None
        if not task.cancelled():
            task.exception()  # looked at, or the loop would complain where nobody waits for it any more


class _Wire:
    """One connection: who waits for what it will say, in order.

    What redis-py offers for writing waits until the server has read, and gives up the connection when its caller is
    cancelled meanwhile. Here nobody waits for the writing, only for replies, so that the writer is used itself.

    Args:
        connection: connected; nobody else may use it.

    Attributes:
        is_up: it may be used.
        reading: the task that reads from it.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        writer = connection._writer  # noqa: SLF001 - see above
        assert writer is not None
        connection.socket_timeout = None  # deadlines are those of the calls; where nothing is asked, nothing is said
        self.is_up = True
        self._connection = connection
        self._writer = writer
        self._waiting: deque[_Call] = deque()
        self.reading = asyncio.get_running_loop().create_task(self._read())

    def send(self, data: Sequence[bytes], expected: int) -> asyncio.Future[list[Any]]:
        """Write commands and return the future of their replies, `expected` in number."""
        call = _Call(expected, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        self._writer.writelines(data)
        return call.done

    def drop(self, error: Exception) -> None:
        """Hang up at once, without waiting for what is not sent yet; all that wait for replies fail."""
        if not self.is_up:
            return
        self.is_up = False
        self._writer.transport.abort()
        if self.reading is not asyncio.current_task():
            self.reading.cancel()
        for call in self._waiting:
            if not call.done.done():
                call.done.set_exception(error)
                call.done.exception()  # looked at: whoever waited may have been cancelled
        self._waiting.clear()

    async def _read(self) -> None:
        connection, waiting = self._connection, self._waiting
        try:
            while True:
                try:
                    reply = await connection.read_response(disable_decoding=True)
                except ResponseError as error:
                    reply = error
                call = waiting[0]
                call.replies.append(reply)
                if len(call.replies) == call.expected:
                    waiting.popleft()
                    if not call.done.done():  # else nobody waits any more
                        call.done.set_result(call.replies)
        except (RedisError, OSError) as error:
            self.drop(error)
        except IndexError:
            self.drop(ConnectionError("it said something unasked"))
        finally:
            self.drop(ConnectionError(_CLOSED_HERE))  # also when the loop ends, which cancels all its tasks
            await connection.disconnect(nowait=True)


class LoopLinks:
    """An `AsyncLink` for each event loop that asks for one.

    Args:
        location: where to connect to.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._links: dict[asyncio.AbstractEventLoop, AsyncLink] = {}
        renew_in_children(self)

    def here(self) -> AsyncLink:
        """The link of the running loop."""
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            # Weak keys would keep the loops: a link knows its own.
            self._links = {old: kept for old, kept in self._links.items() if not old.is_closed()}
            link = self._links[loop] = AsyncLink(self._location)
        return link

    def close(self) -> None:
        """Close them, each in its own loop as soon as that comes round. A loop that has ended closed its own."""
        links, self._links = self._links, {}
        for loop, link in links.items():
            with suppress(RuntimeError):  # the loop was closed just now
                if not loop.is_closed():
                    loop.call_soon_threadsafe(link.abandon)

    def after_fork_in_child(self) -> None:
        """Loops and connections are the parent's."""
        self._links = {}


class _Call:
    """Who waits for how many replies."""

    __slots__ = ("done", "expected", "replies")

    def __init__(self, expected: int, done: asyncio.Future[list[Any]]) -> None:
        self.expected = expected
        self.done = done
        self.replies: list[Any] = []
