"""Connections on which Redis tells what was published: one channel for a thread, thousands for an event loop.

Owns subscribing, what a subscribed connection may say, and how many of them threads may have. Knows nothing of results:
to it a key is a value and a channel of the same name.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from celeriac.exceptions import OperationalError
from celeriac.storage.forks import renew_in_children
from celeriac.storage.redis.errors import translate_error

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as AsyncConnection
    from redis.connection import AbstractConnection as SyncConnection

    from celeriac.storage.redis.location import Location

#: Seconds within which an answer must come when the caller has less time than that left.
_LEAST_PATIENCE: Final = 1.0
#: Seconds after which a server that says nothing counts as away, however long the socket's own timeout is.
_MOST_PATIENCE: Final = 5.0
#: Most connections of a pool, where the location sets no limit.
_MOST_SUBSCRIPTIONS: Final = 64
#: GET and SUBSCRIBE; whatever else comes is no list, or one of three.
_PARTS_OF_EXEC: Final = 2
#: Channels in one command.
_CHANNELS_AT_ONCE: Final = 500


class Subscription:
    """A connection that watches one key at a time, for one thread at a time.

    Args:
        location: where to connect to.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._connection: SyncConnection = location.connect()

    def look(self, key: bytes, patience: float) -> bytes | None:
        """Return the value of `key`; from then on, `next_message` misses nothing that is published on it.

        Value and subscription are one transaction, sent in one trip. What was watched before is not any more.

        Args:
            key: the key, and the channel.
            patience: seconds that the caller can wait for the answer; it gets a little more or less than that.

        Raises:
            OperationalError: no answer, or a refusal.
            StoreRefused: the key holds something else than a value.
        """
        watch = (("UNSUBSCRIBE",), ("MULTI",), ("GET", key), ("SUBSCRIBE", key), ("EXEC",))
        within = min(max(patience, _LEAST_PATIENCE), _MOST_PATIENCE, self._location.socket_timeout)
        deadline = time.monotonic() + within
        try:
            self._send(self._connection.pack_commands(watch))
            value: bytes | RedisError | None = self._answer(deadline)
        except (RedisError, OSError) as error:
            raise translate_error(error, self._location.address) from error
        if isinstance(value, RedisError):
            raise translate_error(value, self._location.address) from value
        return value

    def next_message(self, key: bytes, timeout: float) -> bytes | None:
        """Return what is published next on `key`; None if nothing is within `timeout` seconds.

        Raises:
            OperationalError: the connection is lost.
        """
        deadline = time.monotonic() + timeout
        try:
            while self._connection.can_read(max(deadline - time.monotonic(), 0.0)):
                reply = self._read()
                if isinstance(reply, list) and reply[0] == b"message" and reply[1] == key:
                    message: bytes = reply[2]
                    return message
        except (RedisError, OSError) as error:
            raise translate_error(error, self._location.address) from error
        return None

    def rest(self) -> None:
        """Watch nothing any more. The answer is left for the next `look`, so this costs no trip.

        Raises:
            OperationalError: the connection is lost.
        """
        try:
            self._send(self._connection.pack_command("UNSUBSCRIBE"))
        except (RedisError, OSError) as error:
            raise translate_error(error, self._location.address) from error

    def close(self) -> None:
        """Hang up."""
        self._connection.disconnect()

    def _send(self, packed: Any) -> None:
        self._connection.send_packed_command(packed, check_health=False)

    def _read(self) -> Any:
        return self._connection.read_response(disable_decoding=True, disconnect_on_error=False)

    def _answer(self, deadline: float) -> Any:
        """What EXEC says of the value, behind all that was left unread before."""
        while self._connection.can_read(max(deadline - time.monotonic(), 0.0)):
            reply = self._read()
            if isinstance(reply, list) and len(reply) == _PARTS_OF_EXEC:
                return reply[0]
        raise RedisTimeoutError("it does not answer")


class Subscriptions:
    """Subscriptions for threads, kept open for the next who waits; there is a limit to how many.

    Safe to use from any thread and after a fork (a child opens connections of its own).

    Args:
        location: where to connect to; `pool_limit` is the limit.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._idle: deque[Subscription] = deque()
        self._room = self._make_room()
        renew_in_children(self)

    @contextmanager
    def borrow(self, timeout: float) -> Iterator[Subscription | None]:
        """Lend a subscription for the block; None if none is free within `timeout` seconds.

        One that was idle may have lost its connection meanwhile, which shows at its first use. It is closed when the
        block ends in an error.

        Raises:
            OperationalError: there is no connection to be had.
        """
        room, idle = self._room, self._idle
        if not room.acquire(timeout=timeout):
            yield None
            return
        try:
            subscription = self._take(idle)
            try:
                yield subscription
            except BaseException:
                subscription.close()
                raise
            self._give_back(subscription, idle)
        finally:
            room.release()

    def close(self) -> None:
        """Close the subscriptions; those in use when they are given back. The next borrower opens another."""
        idle, self._idle = self._idle, deque()
        _close_all(idle)

    def after_fork_in_child(self) -> None:
        """The connections are the parent's; dropping them closes only this process's copies."""
        self._idle = deque()
        self._room = self._make_room()

    def _make_room(self) -> threading.BoundedSemaphore:
        return threading.BoundedSemaphore(self._location.pool_limit or _MOST_SUBSCRIPTIONS)

    def _take(self, idle: deque[Subscription]) -> Subscription:
        with suppress(IndexError):
            return idle.pop()
        return Subscription(self._location)

    def _give_back(self, subscription: Subscription, idle: deque[Subscription]) -> None:
        try:
            subscription.rest()
        except OperationalError:  # its borrower has what he waited for; the next one opens another
            subscription.close()
            return
        idle.append(subscription)
        if idle is not self._idle:  # closed meanwhile
            _close_all(idle)


def _close_all(idle: deque[Subscription]) -> None:
    while True:
        try:
            idle.pop().close()
        except IndexError:
            return


class Heard(NamedTuple):
    """What a subscribed connection said.

    Attributes:
        kind: `message`, `subscribe`, `unsubscribe` or `pong`.
        channel: which channel; empty for `pong`.
        payload: what was published.
    """

    kind: bytes
    channel: bytes
    payload: bytes


class AsyncSubscription:
    """A connection that listens to any number of channels, for one event loop. Made by `open`."""

    def __init__(self, connection: AsyncConnection, address: str) -> None:
        self._connection = connection
        self._address = address

    @classmethod
    async def open(cls, location: Location) -> AsyncSubscription:
        """Connect.

        Raises:
            OperationalError: there is no connection to be had.
        """
        connection = await location.aconnect()
        connection.socket_timeout = None  # it may be silent for as long as nothing is published
        return cls(connection, location.address)

    async def client_id(self) -> int:
        """The server's number of this connection. To be asked before anything is subscribed to.

        Raises:
            OperationalError: the connection is lost.
        """
        await self._send([("CLIENT ID",)])
        try:
            async with asyncio.timeout(_MOST_PATIENCE):
                number: Any = await self._connection.read_response()
        except (RedisError, OSError) as error:
            raise translate_error(error, self._address) from error
        return int(number)

    async def change(self, add: Iterable[bytes], drop: Iterable[bytes] = ()) -> None:
        """Listen to some channels more and to some less. Each change is confirmed by what is heard next.

        Raises:
            OperationalError: the connection is lost.
        """
        commands: list[tuple[str | bytes, ...]] = [("UNSUBSCRIBE", *some) for some in _batches(drop)]
        commands += [("SUBSCRIBE", *some) for some in _batches(add)]
        await self._send(commands)

    async def ping(self) -> None:
        """Have the server say something.

        Raises:
            OperationalError: the connection is lost.
        """
        await self._send([("PING",)])

    async def next(self) -> Heard:
        """Wait for what is heard next, for as long as it takes.

        Raises:
            OperationalError: the connection is lost.
        """
        try:
            while True:
                reply = await self._connection.read_response(disable_decoding=True)
                if isinstance(reply, list):
                    return Heard(reply[0], reply[1] or b"", reply[2] if reply[0] == b"message" else b"")
        except (RedisError, OSError) as error:
            raise translate_error(error, self._address) from error

    async def close(self) -> None:
        """Hang up."""
        await self._connection.disconnect(nowait=True)

    async def _send(self, commands: list[tuple[str | bytes, ...]]) -> None:
        if not commands:
            return
        if not self._connection.is_connected:  # redis-py would connect anew, and nobody would have subscribed there
            raise OperationalError(f"the connection to {self._address} was lost")
        try:
            await self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        except (RedisError, OSError) as error:
            raise translate_error(error, self._address) from error


def _batches(channels: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    remaining = iter(channels)
    while some := tuple(islice(remaining, _CHANNELS_AT_ONCE)):
        yield some
