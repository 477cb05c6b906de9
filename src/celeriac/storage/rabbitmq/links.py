"""Connections to RabbitMQ for threads: a pool of them, for confirmed publishing and for short dialogues.

Owns what becomes of a connection after an error. Who may use one when is the pool's part, how one is made `location`'s,
what is known of a server that takes no messages `alarms`'. Nothing is sent twice: whether a failed call may be repeated
is for the caller to know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from amqp.exceptions import AMQPError

from celeriac.exceptions import CeleriacError, OperationalError
from celeriac.storage.pool import Pool
from celeriac.storage.rabbitmq.alarms import Alarm
from celeriac.storage.rabbitmq.errors import closes_channel, translate_error
from celeriac.storage.rabbitmq.link import Link
from celeriac.storage.rabbitmq.parcels import Parcel
from celeriac.storage.rabbitmq.publishing import AllRefused, SomeRefused

if TYPE_CHECKING:
    import amqp

    from celeriac.storage.rabbitmq.location import RabbitLocation

__all__ = ["AllRefused", "Links", "Parcel", "SomeRefused"]

T = TypeVar("T")


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
        self._name = name
        self._alarm = Alarm(location.address, location.answer_timeout)
        self._pool: Pool[Link] = Pool(
            location.address,
            self._open,
            Link.is_good,
            Link.close,
            limit=location.pool_limit,
            patience=location.pool_timeout,
            leave=Link.leave,
        )

    def publish(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Publish, and return when the server has answered for each: it is in its queues, on disk if it is durable.

        While the server is known to take no messages (an alarm for lack of memory or disk space) nothing is written,
        by no thread. Should the very same parcels, with the ids of their messages, have been written by a call that
        failed for that reason, then it is their confirms that are waited for.

        Args:
            parcels: any number; they are written in this order, with few system calls.

        Returns:
            Those that came back, because they are mandatory and lead to no queue.

        Raises:
            OperationalError: the server is away, takes no messages for lack of memory or disk space, has refused some,
                knows no such exchange, or has not answered for `location.answer_timeout` seconds. The text says so if
                some may be stored all the same; `SomeRefused` if it has answered for all.
            StoreRefused: it will never take one of these.
        """
        if not parcels:
            return []
        deadline = None
        while True:
            if self._alarm.is_suspected:
                deadline = deadline or time.monotonic() + self._location.answer_timeout
                if (known := self._alarm.wait(parcels, deadline)) is not None:
                    return known
            returned = self._publish(self._pool.borrow(), parcels)
            if returned is not None:
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
        while link.is_blocked:  # the server would not read this either; it does from a new one
            self._return(link)
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
        self._return(link)
        return done

    def close(self) -> None:
        """Close the connections that nobody is using. The next call opens another."""
        self._pool.close()
        self._alarm.close()

    def _open(self) -> Link:
        link = Link(self._location.connect(name=self._name), self._location.answer_timeout)
        self._alarm.watch(link.connection)
        return link

    def _publish(self, link: Link, parcels: Sequence[Parcel]) -> list[Parcel] | None:
        """None: the server turned out to take no messages before anything was written."""
        try:
            link.publisher.open()
            returned = None if self._alarm.is_on else link.publisher.publish(parcels)
        except BaseException as error:
            self._after(link, error, parcels)
            if isinstance(error, SomeRefused):
                raise
            if isinstance(error, AMQPError | OSError | OperationalError):
                raise _of_publishing(link, error, len(parcels)) from error
            raise
        self._return(link)
        return returned

    def _return(self, link: Link) -> None:
        """Over one that is blocked the server says when it takes messages again: somebody has to listen to it."""
        if link.is_blocked:
            self._keep(link, ())
        else:
            self._pool.give_back(link)

    def _keep(self, link: Link, parcels: Sequence[Parcel]) -> None:
        self._pool.detach(link)  # others need its place, for dialogues
        self._alarm.keep(link, parcels)

    def _after(self, link: Link, error: BaseException, parcels: Sequence[Parcel] = ()) -> None:
        """Keep what is known to be in order. An exception of a signal's can have come between any two lines."""
        is_ours = isinstance(error, CeleriacError)
        if is_ours and link.is_blocked:
            self._keep(link, parcels)
        elif (is_ours and link.publisher.is_in_order) or (closes_channel(error) and link.connection.wire.connected):
            self._return(link)
        else:
            link.connection.abandon()
            self._pool.discard(link)


def _of_publishing(link: Link, error: Exception, count: int) -> CeleriacError:
    translated = translate_error(error, link.connection.server.address)
    if closes_channel(error):
        doubt = "; those of this call that came before it may be stored" if count > 1 else ""
    else:
        doubt = "; what was sent may be stored all the same" if link.publisher.is_in_doubt else ""
    return type(translated)(f"{translated}{doubt}")
