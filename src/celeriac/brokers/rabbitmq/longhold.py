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
from typing import TYPE_CHECKING, Final

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
        #: Copies that are on their way, by their marks.
        self._copies: dict[str, Held] = {}

    def learn(self, error: Exception) -> None:
        """A connection has ended. If it was for this timeout, the server has said what it is."""
        self._copies.clear()
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
        for queue in dict.fromkeys(held.feed.queue for held in old):
            name = holding_of(self._owner, queue)
            await asyncio.to_thread(self._declarer.ensure_holding, name, queue, self._timeout)
            await open_feed(name, queue)
            for held in old:
                if held.feed.queue != queue:
                    continue
                if held not in self._copies.values():
                    await self._send_copy(held, name)
                await self._fetch(line, name)

    def claim(self, feed: Feed, came: Delivered, now: float) -> Held | None:
        """What came is a copy: the delivery whose place it takes, or None if it is somebody else's."""
        held = self._copies.pop(came.arrival.hold or "", None)
        if held is None:
            return None
        if self._holdings.find(held.delivery) is not held:  # it was settled meanwhile
            feed.acks.done(came.number)
            return held
        held.feed.acks.done(held.number)
        held.feed.in_hand -= 1
        self._holdings.move(held, feed, came, now)
        logger.debug("Task %s is held on", held.delivery.label)
        return held

    def _fetch(self, line: Line, name: str) -> asyncio.Future[int]:
        return line.submit(lambda: line.get(name, len(self._copies)))

    async def _send_copy(self, held: Held, name: str) -> None:
        delivery, mark = held.delivery, str(uuid.uuid4())
        message = delivery.message
        message.properties.pop("expiration", None)  # its time to wait for a worker is over, and would move it on
        parcel = self._publisher.parcel(
            message, name, delivery.priority, history=delivery.history, extra={HOLD_HEADER: mark}
        )
        self._copies[mark] = held
        try:
            await asyncio.to_thread(self._publisher.send, [parcel])
        except BaseException:
            # It may have been stored: it leaves that queue by itself then, and counts as lost once.
            self._copies.pop(mark, None)
            raise
