"""Tasks that run longer than RabbitMQ lets a delivery wait for its acknowledgement.

A server closes the channel of a consumer that has not acknowledged a delivery for `consumer_timeout` (half an hour, as
shipped), and gives the message to another worker while the first one still runs it. So the hold on such a message is
renewed in good time: a copy goes through a queue of this worker's own, is fetched from there, and takes the place of
the first delivery. Should the worker die, the copy's time to live in that queue is over, and the server moves it back
to the queue that it came from.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac.brokers.rabbitmq.naming import HOLD_HEADER, holding_of

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.declaring import Declarer
    from celeriac.brokers.rabbitmq.feeds import Feed
    from celeriac.brokers.rabbitmq.holdings import Held, Holdings
    from celeriac.brokers.rabbitmq.line import Delivered, Line
    from celeriac.brokers.rabbitmq.publishing import Publisher

logger = logging.getLogger("celeriac.broker")

#: A hold is renewed when this part of the timeout has passed.
_RENEW_AT: Final = 0.5
#: Copies that are remembered although nobody knows what became of them.
_MOST_DOUBTFUL: Final = 4096
#: How RabbitMQ says what its timeout is, when it closes a channel for it.
_TIMED_OUT: Final = re.compile(r"acknowledgement on channel \d+ timed out\. Timeout value used: (\d+) ms")


class LongHold:
    """Renews holds.

    Args:
        owner: the worker's name.
        consumer_timeout: the server's, in seconds.
        declarer: has queues there.
        publisher: sends copies.
        holdings: what is held.
    """

    def __init__(
        self, owner: str, consumer_timeout: float, declarer: Declarer, publisher: Publisher, holdings: Holdings
    ) -> None:
        self._owner = owner
        self._timeout = consumer_timeout
        self._declarer = declarer
        self._publisher = publisher
        self._holdings = holdings
        #: By their marks, copies of what is held, those that are on their way, and those of which nobody knows whether
        #: they are: a connection ended, or sending one failed. Then there are two messages of one task.
        self._copies: dict[str, Held] = {}
        self._coming: set[str] = set()
        self._doubtful: dict[str, None] = {}
        #: Queues of tasks of which such copies may be here yet.
        self._unfetched: set[str] = set()

    def learn(self, error: Exception) -> None:
        """A connection has ended. If it was for this timeout, the server has said what it is."""
        for mark in self._coming:
            self._doubt(mark)
        self._coming.clear()
        found = _TIMED_OUT.search(str(error))
        if found is None:
            return
        seconds = int(found[1]) / 1000
        if seconds < self._timeout:
            logger.warning(
                "The server's consumer_timeout is %g s and not %g s: set broker_transport_options={'consumer_timeout': "
                "%g}, so that a long task is not given to another worker before this one has noticed",
                seconds,
                self._timeout,
                seconds,
            )
            self._timeout = seconds

    async def renew(self, line: Line, open_feed: Callable[[str, str], Awaitable[Feed]], now: float) -> None:
        """Renew what is held so long.

        Raises:
            OperationalError: the server is away; to be tried again.
        """
        old = [held for held in self._holdings.placed() if now - held.since >= _RENEW_AT * self._timeout]
        self._forget_old()
        coming = {id(self._copies[mark]) for mark in self._coming}
        for queue in {*self._unfetched, *(held.feed.queue for held in old)}:
            name = holding_of(self._owner, queue)
            await asyncio.to_thread(self._declarer.ensure_holding, name, queue, self._timeout)
            await open_feed(name, queue)
            for held in old:
                if held.feed.queue == queue and id(held) not in coming:
                    await self._send_copy(held, name)
            await line.submit(partial(line.get, name, len(self._coming) + len(self._doubtful)))
            for mark in [mark for mark in self._coming if self._copies[mark].feed.queue == queue]:
                self._coming.discard(mark)
                self._doubt(mark)  # it did not come
            self._unfetched.discard(queue)

    def claim(self, feed: Feed, came: Delivered, now: float) -> Held | None:
        """What came is a copy, or what a copy was made of.

        Returns:
            The delivery that it belongs to, which has one place now; None if it is somebody else's.
        """
        mark = came.arrival.hold or ""
        held = self._copies.get(mark)
        if held is None:
            held = self._copied(came)
            if held is not None:
                feed.acks.done(came.number)
            return held
        self._coming.discard(mark)
        if self._holdings.find(held.delivery) is not held:  # it was settled meanwhile
            self._doubtful.pop(mark, None)
            feed.acks.done(came.number)
        elif held.orphaned is not None:  # if there is doubt, what it was made of is still to come
            as_held = msgspec.structs.replace(came.arrival, packed=held.delivery.packed)
            self._holdings.adopt(feed, came._replace(arrival=as_held), now)
        else:
            self._doubtful.pop(mark, None)
            held.feed.acks.done(held.number)
            held.feed.in_hand -= 1
            self._holdings.move(held, feed, came, now)
            logger.debug("Task %s is held on", held.delivery.label)
        return held

    def _copied(self, came: Delivered) -> Held | None:
        """This came back after a copy of it had taken its place."""
        packed = came.arrival.packed
        for mark in self._doubtful:
            held = self._copies[mark]
            known = held.delivery.packed
            if held.orphaned is None and (known.head, known.body) == (packed.head, packed.body):
                del self._doubtful[mark]
                return held
        return None

    def _doubt(self, mark: str) -> None:
        self._doubtful[mark] = None
        self._unfetched.add(self._copies[mark].feed.queue)
        if len(self._doubtful) > _MOST_DOUBTFUL:
            del self._doubtful[next(iter(self._doubtful))]

    def _forget_old(self) -> None:
        """Copies of what is held no more, unless they may come yet."""
        for mark, held in list(self._copies.items()):
            is_known = mark in self._coming or mark in self._doubtful
            if not is_known and self._holdings.find(held.delivery) is not held:
                del self._copies[mark]

    async def _send_copy(self, held: Held, name: str) -> None:
        delivery, mark = held.delivery, str(uuid.uuid4())
        message = delivery.message
        message.properties.pop("expiration", None)  # its time to wait for a worker is over, and would move it on
        parcel = self._publisher.parcel(
            message, name, delivery.priority, history=delivery.history, extra={HOLD_HEADER: mark}
        )
        self._copies[mark] = held
        self._coming.add(mark)
        try:
            await asyncio.to_thread(self._publisher.send, [parcel])
        except BaseException:
            self._coming.discard(mark)
            self._doubt(mark)  # it may have been stored
            raise
