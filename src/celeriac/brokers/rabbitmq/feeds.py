"""Where a worker's messages come from: one feed for each queue, with its acknowledgements and its prefetch.

A feed is a channel. Its prefetch follows what the worker wants: what it holds plus what it has room for, so that
nothing lies here that an idle worker could run. RabbitMQ knows a prefetch for each consumer only (quorum queues have no
other), so a change ends the consumer and begins another; changes are made when they are worth it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from celeriac.brokers.rabbitmq.line import Ack, Delivered

#: The largest prefetch.
_MOST_AHEAD: Final = 4000
#: A prefetch is raised when the demand is larger by this part of it, and lowered when it is smaller by as much.
_RAISE_BY: Final = 0.25
_LOWER_BY: Final = 0.4
#: Looks in a row that must find it too high.
_LOWER_AFTER: Final = 2
#: Numbers that are kept although they are of no use any more.
_SLACK: Final = 1024


class Acks:
    """What was delivered over one channel, in order, and what of it is done with.

    Acknowledging all up to a number is far cheaper for the server than one by one, so those that can not be told yet
    because an earlier one still runs wait for a moment.
    """

    def __init__(self, feed: str) -> None:
        self._feed = feed
        #: All that came, in order; of what is done with and told, some may be here still.
        self._order: deque[int] = deque()
        self._outstanding: set[int] = set()
        self._untold: set[int] = set()

    def __len__(self) -> int:
        """How many numbers are kept."""
        return len(self._order) + len(self._untold)

    def arrived(self, number: int) -> None:
        """This was delivered."""
        self._order.append(number)
        self._outstanding.add(number)

    def done(self, number: int) -> None:
        """This is to be acknowledged."""
        if number in self._outstanding:
            self._outstanding.discard(number)
            self._untold.add(number)

    @property
    def has_stragglers(self) -> bool:
        """Some are done with and not acknowledged, after `up_to`."""
        return bool(self._untold)

    def up_to(self) -> list[Ack]:
        """Acknowledge all before the first one that is not done with."""
        order, outstanding, last = self._order, self._outstanding, 0
        while order and order[0] not in outstanding:
            last = order.popleft()
        if len(order) > 2 * len(outstanding) + _SLACK:  # the first one takes long, and many have passed it
            self._order = deque(number for number in order if number in outstanding or number in self._untold)
        covered = {number for number in self._untold if number <= last} if last else None
        if not covered:
            return []
        self._untold -= covered
        return [Ack(self._feed, max(covered), True)]

    def stragglers(self) -> list[Ack]:
        """Acknowledge those behind one that still runs, each by itself."""
        late = sorted(self._untold)
        self._untold.clear()
        return [Ack(self._feed, number, False) for number in late]


class Feed:
    """One queue as a source.

    Args:
        name: of the queue that is consumed.
        queue: the queue of the tasks; another one for suspects and for what is held long.

    Attributes:
        buffer: what has come and was not given out.
        in_hand: how much was given out, or waits for its time, and is not settled.
        acks: of its channel.
        tag: its consumer's, None while there is none.
        prefetch: its consumer's.
        tuning: a change of the consumer is under way.
        cancelled: the server has ended the consumer: the queue may be gone.
    """

    def __init__(self, name: str, queue: str) -> None:
        self.name = name
        self.queue = queue
        self.buffer: deque[Delivered] = deque()
        self.in_hand = 0
        self.acks = Acks(name)
        self.tag: str | None = None
        self.prefetch = 0
        self.tuning = False
        self.cancelled = False
        self._too_high = 0

    def raised_prefetch(self, room: int) -> int | None:
        """The prefetch to change to, if there is room for so many more than the consumer may bring."""
        wanted = min(self.in_hand + room, _MOST_AHEAD)
        if self.tuning or wanted <= self.prefetch:
            return None
        worth_it = wanted - self.prefetch >= _RAISE_BY * self.prefetch or not self.prefetch
        return wanted if worth_it else None

    def lowered_prefetch(self, room: int) -> int | None:
        """The prefetch to change to, if the consumer has brought too much for some time. To be asked at intervals."""
        wanted = max(1, min(self.in_hand + room, _MOST_AHEAD))
        if self.tuning or self.tag is None or self.prefetch - wanted < _LOWER_BY * self.prefetch:
            self._too_high = 0
            return None
        self._too_high += 1
        if self._too_high < _LOWER_AFTER:
            return None
        self._too_high = 0
        return wanted
