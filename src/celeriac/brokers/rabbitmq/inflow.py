"""What has come from the server and is not given out yet: the feeds' buffers, what is early, and what came back.

Knows nothing of connections: the session tells it of arrivals, and takes from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from celeriac.brokers.rabbitmq.naming import suspects_of
from celeriac.outcome import Requeue, Settlement

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.feeds import Feed
    from celeriac.brokers.rabbitmq.holdings import Holdings
    from celeriac.brokers.rabbitmq.line import Delivered
    from celeriac.brokers.rabbitmq.longhold import LongHold
    from celeriac.clock import Clock
    from celeriac.message import Delivery

#: What is due later than this by so many seconds goes back to where future work waits.
_LONGEST_WAIT: Final = 2.0
#: Seconds that whoever has just taken what came back waits for more of it.
_MORE_SECONDS: Final = 0.25


class Inflow:
    """Arrivals in order of use.

    Args:
        holdings: what is given out.
        long_hold: knows the copies by which holds are renewed.
        clock: for due times.

    Attributes:
        feeds: by the name of the queue that is consumed.
        arrived: set when something has come.
    """

    def __init__(self, holdings: Holdings, long_hold: LongHold, clock: Clock) -> None:
        self.feeds: dict[str, Feed] = {}
        self.arrived = asyncio.Event()
        self._holdings = holdings
        self._long_hold = long_hold
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        #: What comes before its second: due time, place in line, feed, message.
        self._early: list[tuple[float, int, Feed, Delivered]] = []
        #: What other workers held.
        self._returned: list[tuple[Feed, Delivered]] = []
        self._has_returned = asyncio.Event()
        self._gave_returned = False
        self._places = 0
        self._turn = 0

    def reset(self) -> list[Delivered]:
        """The connection is gone, and with it all that had come. Returns what nobody had held before."""
        untouched = [came for feed in self.feeds.values() for came in feed.buffer]
        untouched += [came for _, _, _, came in self._early]
        self.feeds.clear()
        self._early.clear()
        self._returned.clear()
        self._has_returned.clear()
        self.arrived.set()
        return untouched

    def add(self, arrivals: Sequence[Delivered]) -> list[Settlement]:
        """Take in what has come. Returns what is to be settled now, without being given out."""
        now, wall = self._loop.time(), self._clock.time()
        self.note_due()  # before what comes now
        due_now: list[Settlement] = []
        for came in arrivals:
            feed, arrival = self.feeds[came.feed], came.arrival
            feed.acks.arrived(came.number, came.tag)
            feed.heard_at = now
            came_back = arrival.redelivered or arrival.hold is not None
            if came_back and not self._holdings.was_untouched(came, now):
                due_now += self._came_back(feed, came, now, wall)
            elif feed.name != feed.queue and (known := self._came_round(feed, came, now)) is not None:
                due_now += known
            elif arrival.due is not None and arrival.due > wall:
                due_now += self._put_aside(feed, came, arrival.due, wall)
            else:
                feed.buffer.append(came)
        self.arrived.set()
        return due_now

    def take(self, queues: Sequence[str], limit: int) -> list[Delivery]:
        """Give out what is here: suspects first, which have waited before, then queues in turn."""
        now = self._loop.time()
        self.note_due()
        taken: list[Delivery] = []
        for feed in self.in_turn(queues):
            while feed.buffer and len(taken) < limit:
                taken.append(self._holdings.hold(feed, feed.buffer.popleft(), now))
        if taken:
            self._turn += 1
        return taken

    async def take_returned(self, limit: int) -> list[Delivery]:
        """Give out what other workers held.

        Of a long row of it only so much comes at a time as the prefetch allows, so after some, more is waited for. A
        row as long as the queue is what a classic queue delivers after a crash of its server.
        """
        if self._gave_returned and not self._returned:
            with contextlib.suppress(TimeoutError):  # that was all
                async with asyncio.timeout(_MORE_SECONDS):
                    await self._has_returned.wait()
        chosen, self._returned = self._returned[:limit], self._returned[limit:]
        self._gave_returned = bool(chosen)
        if not self._returned:
            self._has_returned.clear()
        now = self._loop.time()
        return [self._holdings.hold(feed, came, now, lost=True) for feed, came in chosen]

    def take_buffers(self, feeds: Sequence[Feed]) -> list[Delivery]:
        """Give out all that waits in these, to be given back. Not where it would come back here at once."""
        now = self._loop.time()
        taken: list[Delivery] = []
        for feed in feeds:
            while feed.buffer and not (feed.alone and feed.tags):
                taken.append(self._holdings.hold(feed, feed.buffer.popleft(), now))
        return taken

    def take_early(self, queue: str | None = None) -> list[tuple[Delivery, float]]:
        """Give out what is not due yet, of one queue or of all, to be put off or given up; with its due time each."""
        self.note_due()
        now, early, self._early = self._loop.time(), self._early, []
        taken: list[tuple[Delivery, float]] = []
        for one in sorted(early):
            due, _, feed, came = one
            if queue is not None and feed.queue != queue:
                heapq.heappush(self._early, one)
                continue
            feed.in_hand -= 1
            taken.append((self._holdings.hold(feed, came, now), due))
        return taken

    def in_turn(self, queues: Sequence[str]) -> list[Feed]:
        """The feeds of these queues in the order in which they are to be asked."""
        start = self._turn % max(len(queues), 1)
        turned = [*queues[start:], *queues[:start]]
        names = [*map(suspects_of, turned), *turned]
        return [self.feeds[name] for name in names if name in self.feeds]

    def of_queue(self, queue: str) -> list[Feed]:
        """The feeds that bring tasks of this queue."""
        return [feed for feed in self.feeds.values() if feed.queue == queue]

    def waiting(self, queue: str) -> int:
        """Messages of the queue that are here."""
        waiting = sum(len(feed.buffer) for feed in self.of_queue(queue))
        waiting += sum(1 for _, _, feed, _ in self._early if feed.queue == queue)
        return waiting + sum(1 for feed, _ in self._returned if feed.queue == queue)

    def losses_of_suspects(self) -> list[int]:
        """How often each suspect that is here was lost."""
        feeds = [feed for feed in self.feeds.values() if feed.brings_suspects]
        return [len(came.arrival.history) for feed in feeds for came in feed.buffer]

    def seconds_to_next(self) -> float | None:
        """Until something that is here is due."""
        return self._early[0][0] - self._clock.time() if self._early else None

    def note_due(self) -> None:
        """Put what is due by now behind what waits. To be called at intervals also while nobody takes anything."""
        wall = self._clock.time()
        while self._early and self._early[0][0] <= wall:
            _, _, feed, came = heapq.heappop(self._early)
            feed.in_hand -= 1
            feed.buffer.append(came)

    def _came_round(self, feed: Feed, came: Delivered, now: float) -> list[Settlement] | None:
        """It was lost with this worker's connection, another worker got it and took it for a suspect, and here it is.

        Returns:
            None if it was not so.
        """
        held = self._holdings.adopt(feed, came, now)
        if held is not None:
            return [held.settlement] if held.settlement is not None else []
        if not self._holdings.was_settled(came, now):
            return None
        feed.acks.done(came.number)
        return []

    def _came_back(self, feed: Feed, came: Delivered, now: float, wall: float) -> list[Settlement]:
        """It was delivered before: perhaps to this worker, which knows what became of it.

        What is not due yet waited at the worker that was lost, as it does here: it was not running.
        """
        due = came.arrival.due
        held = self._holdings.adopt(feed, came, now) or self._long_hold.claim(feed, came, now)
        if held is None and self._holdings.was_settled(came, now):
            feed.acks.done(came.number)
        elif held is None and due is not None and due > wall:
            return self._put_aside(feed, came, due, wall)
        elif held is None:
            self._returned.append((feed, came))
            self._has_returned.set()
        return [held.settlement] if held is not None and held.settlement is not None else []

    def _put_aside(self, feed: Feed, came: Delivered, due: float, wall: float) -> list[Settlement]:
        if due - wall <= _LONGEST_WAIT:
            feed.in_hand += 1
            self._places += 1
            heapq.heappush(self._early, (due, self._places, feed, came))
            return []
        delivery = self._holdings.hold(feed, came, self._loop.time())
        return [Settlement(delivery, Requeue(not_before=due))]
