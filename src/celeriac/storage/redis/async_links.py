"""Connections to Redis for event loops: one for many callers, pipelined.

Owns the order of requests and replies, deadlines, and what becomes of a connection after an error. See `links` for what
is sent twice.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from celeriac.storage.redis.commands import Arg, Command, UnknownScript, packed, unwrapped, was_sent_elsewhere
from celeriac.storage.redis.errors import breaks_link, translate_error

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from celeriac.storage.redis.location import Location
    from celeriac.storage.redis.scripts import Script


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
        self._connection: AbstractConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._waiting: deque[_Call] = deque()

    @property
    def is_connected(self) -> bool:
        """There is a connection, as far as is known."""
        return self._connection is not None

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
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        self._drop(ConnectionError("closed by this process"))
        await asyncio.gather(*self._ending, return_exceptions=True)

    def abandon(self) -> None:
        """Close the connection without waiting for its end. To be called in the link's loop."""
        if self._connecting is not None:
            self._connecting.cancel()
        self._drop(ConnectionError("closed by this process"))

    async def _exchange(
        self, commands: Sequence[Command], *, transaction: bool = False, timeout: float | None = None
    ) -> list[Any]:
        replies = await self._send(commands, timeout, transaction=transaction)
        if was_sent_elsewhere(replies):
            replies = await self._send(commands, timeout, transaction=transaction)
        return unwrapped(replies, self._location.address, transaction=transaction)

    async def _send(self, commands: Sequence[Command], timeout: float | None, *, transaction: bool) -> list[Any]:
        connection = self._connection
        if connection is None or not connection.is_connected:
            connection = await self._connect()
        loop = asyncio.get_running_loop()
        call = _Call(len(commands) + 2 * transaction, loop.create_future())
        deadline = loop.call_later(timeout or self._location.socket_timeout, self._expire, connection)
        try:
            self._waiting.append(call)
            try:
                # Written to the transport before anything else can run, so calls and replies have one order.
                await connection.send_packed_command(packed(commands, transaction=transaction), check_health=False)
            except (RedisError, OSError) as error:
                self._drop(error)
            replies = await call.done
        except (RedisError, OSError) as error:
            raise translate_error(error, self._location.address) from error
        finally:
            deadline.cancel()
        if any(isinstance(reply, Exception) and breaks_link(reply) for reply in replies):
            self._drop(ConnectionError("the server is not the one to ask any more"), connection)
        return replies

    async def _connect(self) -> AbstractConnection:
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._open())
            self._connecting.add_done_callback(_look_at_error)
        await asyncio.shield(self._connecting)  # others may be waiting for it too
        if self._connection is None:
            raise translate_error(ConnectionError("lost as soon as it was made"), self._location.address)
        return self._connection

    async def _open(self) -> None:
        connection = await self._location.aconnect()
        # Deadlines are those of the calls: a connection on which nothing is asked may be silent.
        connection.socket_timeout = None
        self._connection = connection
        self.generation += 1
        self._reading = asyncio.get_running_loop().create_task(self._read(connection))

    async def _read(self, connection: AbstractConnection) -> None:
        waiting = self._waiting  # of this connection: `_drop` makes another
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
        except (RedisError, OSError, IndexError) as error:
            # IndexError: a reply that nobody asked for; whatever it is, the order of replies is lost.
            self._drop(error if not isinstance(error, IndexError) else ConnectionError("unasked reply"), connection)
        finally:
            # Also when the loop ends, which cancels all its tasks.
            self._drop(ConnectionError("closed"), connection)
            await connection.disconnect(nowait=True)

    def _expire(self, connection: AbstractConnection) -> None:
        self._drop(TimeoutError("no reply in time"), connection)

    def _drop(self, error: Exception, connection: AbstractConnection | None = None) -> None:
        """Give up the connection; all that wait for replies on it fail."""
        if self._connection is None or (connection is not None and connection is not self._connection):
            return
        self._connection = None
        waiting, self._waiting = self._waiting, deque()
        reading, self._reading = self._reading, None
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()  # it closes the connection on its way out
            self._ending.add(reading)
            reading.add_done_callback(self._ending.discard)
        for call in waiting:
            if not call.done.done():
                call.done.set_exception(error)


class LoopLinks:
    """An `AsyncLink` for each event loop that asks for one.

    Args:
        location: where to connect to.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._links: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncLink] = weakref.WeakKeyDictionary()

    def here(self) -> AsyncLink:
        """The link of the running loop."""
        loop = asyncio.get_running_loop()
        link = self._links.get(loop)
        if link is None:
            link = self._links[loop] = AsyncLink(self._location)
        return link

    def close(self) -> None:
        """Close them, each in its own loop as soon as that comes round. A loop that has ended closed its own."""
        for loop, link in list(self._links.items()):
            with suppress(RuntimeError):  # the loop was closed just now
                if not loop.is_closed():
                    loop.call_soon_threadsafe(link.abandon)
        self._links = weakref.WeakKeyDictionary()


class _Call:
    """Who waits for how many replies."""

    __slots__ = ("done", "expected", "replies")

    def __init__(self, expected: int, done: asyncio.Future[list[Any]]) -> None:
        self.expected = expected
        self.done = done
        self.replies: list[Any] = []


def _look_at_error(task: asyncio.Task[None]) -> None:
    """Else the loop would complain about the error of a connection for which nobody waits any more."""
    if not task.cancelled():
        task.exception()
