"""Connections to RabbitMQ for threads: a pool of them, for confirmed publishing and for short dialogues.

Owns what becomes of a connection after an error. Who may use one when is the pool's part, how one is made `location`'s.
Nothing is sent twice: whether a failed call may be repeated is for the caller to know.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from amqp.exceptions import AMQPError

from celeriac.exceptions import CeleriacError, OperationalError
from celeriac.storage.pool import Pool
from celeriac.storage.rabbitmq.errors import closes_channel, translate_error
from celeriac.storage.rabbitmq.parcels import Parcel
from celeriac.storage.rabbitmq.publishing import AllRefused, Publisher

if TYPE_CHECKING:
    import amqp

    from celeriac.storage.rabbitmq.dialling import Connection
    from celeriac.storage.rabbitmq.location import RabbitLocation

__all__ = ["AllRefused", "Links", "Parcel"]

T = TypeVar("T")


class _Link:
    """A connection of the pool, its publisher, and its channel for dialogues."""

    def __init__(self, connection: Connection, patience: float) -> None:
        self.connection = connection
        self.publisher = Publisher(connection, patience)
        self._channel: amqp.Channel | None = None
        # py-amqp's objects know each other, so that only the collector of cycles would find them.
        self._end = weakref.finalize(self, connection.wire.drop)

    def channel(self) -> amqp.Channel:
        """A channel without confirms."""
        if self._channel is None:
            self._channel = self.connection.channel()
        return self._channel

    def forget_channel(self) -> None:
        """The server has closed it, and py-amqp opened it anew. What is known of its consumers is not true any more."""
        if self._channel is not None:
            self._channel.callbacks.clear()
            self._channel.cancel_callbacks.clear()
            self._channel.no_ack_consumers.clear()

    def is_good(self) -> bool:
        """Hear what the server had to say meanwhile: that messages are (not) welcome, or that this is the end."""
        try:
            while True:
                self.connection.blocking_read(0)
        except TimeoutError:
            return self.connection.wire.connected
        except (AMQPError, OSError):
            return False

    def close(self) -> None:
        """End it, with a goodbye if it is in order."""
        self.connection.close_quietly()
        self._end.detach()

    def leave(self) -> None:
        """In a forked child: close the child's copy of it."""
        self._end()


class Links:
    """Connections for threads: each call borrows one, at most `location.pool_limit` are open.

    Safe to use from any thread and after a fork (a child opens connections of its own). They are opened when they are
    needed, and have no heartbeats: nobody would send them.

    Args:
        location: where to connect to.
        name: what the server shows as the connections' name.
    """

    def __init__(self, location: RabbitLocation, name: str = "publisher") -> None:
        self._location = location
        self._pool: Pool[_Link] = Pool(
            location.address,
            lambda: _Link(location.connect(name=name), location.answer_timeout),
            _Link.is_good,
            _Link.close,
            limit=location.pool_limit,
            patience=location.pool_timeout,
            leave=_Link.leave,
        )

    def publish(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Publish, and return when the server has answered for each: it is in its queues, on disk if it is durable.

        Args:
            parcels: any number; they are written in this order, with few system calls.

        Returns:
            Those that came back, because they are mandatory and lead to no queue.

        Raises:
            OperationalError: the server is away, takes no messages for lack of memory or disk space, has refused some,
                knows no such exchange, or has not answered for `location.answer_timeout` seconds. The text says so if
                some may be stored all the same; `AllRefused` if it has refused every one.
            StoreRefused: it will never take one of these.
        """
        if not parcels:
            return []
        link = self._pool.borrow()
        try:
            returned = link.publisher.publish(parcels)
        except BaseException as error:
            self._after(link, error)
            if isinstance(error, AMQPError | OSError | OperationalError):
                raise _of_publishing(link, error, len(parcels)) from error
            raise
        self._pool.give_back(link)
        return returned

    def run(self, action: Callable[[amqp.Channel], T]) -> T:
        """Have a short dialogue with the server.

        Args:
            action: gets a channel without confirms. It must not start consumers, or set a prefetch, on it.

        Returns:
            What `action` returns.

        Raises:
            OperationalError, StoreRefused: as `translate_error` has them; what else `action` raises passes.
        """
        link = self._pool.borrow()
        while link.connection.blocked is not None:  # the server would not read this either; it does from a new one
            self._pool.discard(link)
            link = self._pool.borrow()
        try:
            done = action(link.channel())
        except BaseException as error:
            if closes_channel(error):
                link.forget_channel()
            self._after(link, error)
            if isinstance(error, AMQPError | OSError):
                raise translate_error(error, link.connection.server.address) from error
            raise
        self._pool.give_back(link)
        return done

    def close(self) -> None:
        """Close the connections that nobody is using. The next call opens another."""
        self._pool.close()

    def _after(self, link: _Link, error: BaseException) -> None:
        """Keep what is known to be in order. An exception of a signal's can have come between any two lines."""
        known = isinstance(error, CeleriacError) and link.publisher.is_in_order
        if known or (closes_channel(error) and link.connection.wire.connected):
            self._pool.give_back(link)
        else:
            link.connection.abandon()
            self._pool.discard(link)


def _of_publishing(link: _Link, error: Exception, count: int) -> CeleriacError:
    translated = translate_error(error, link.connection.server.address)
    if closes_channel(error):
        doubt = "; those of this call that came before it may be stored" if count > 1 else ""
    else:
        doubt = "" if link.publisher.is_in_order else "; what was sent may be stored all the same"
    return type(translated)(f"{translated}{doubt}")
