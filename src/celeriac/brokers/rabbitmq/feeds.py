"""Where a worker's messages come from: one feed for each queue, with its acknowledgements and its prefetch.

A feed is a channel. Its prefetch follows what the worker wants: what it holds plus what it has room for, so that
nothing lies here that an idle worker could run. RabbitMQ knows a prefetch for each consumer only (quorum queues have no
other), and a consumer's can not be changed. So it is raised by one more consumer, and lowered by ending them all. What
is on its way to a consumer of a quorum queue when that is ended goes back, and looks as if its worker had died: so they
are ended only when nothing is on its way, for all that can be known.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from celeriac.brokers.rabbitmq.line import Ack, Delivered
from celeriac.brokers.rabbitmq.naming import suspects_of

#: The largest prefetch.
_MOST_AHEAD: Final = 4000
#: Up to here it is raised exactly to what is wanted; beyond it, when a quarter is missing, and by a half at least.
_EXACT: Final = 16
_RAISE_AT: Final = 0.25
_RAISE_BY: Final = 0.5
#: It is lowered when so much of it is too much.
_LOWER_AT: Final = 0.4
#: Seconds without an arrival after which none is on its way.
_QUIET_SECONDS: Final = 0.5
#: Looks in a row that must find it too high.
_LOWER_AFTER: Final = 2
#: Looks in a row after which they are ended whatever is on its way, while something waits here that nobody asks for.
_MOST_UNASKED: Final = 5
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
        #: By number, the consumer's tag; None for what was fetched.
        self._outstanding: dict[int, str | None] = {}
        self._untold: set[int] = set()
        #: Those that no consumer's prefetch counts.
        self._old: set[int] = set()

    def __len__(self) -> int:
        """How many numbers are kept."""
        return len(self._order) + len(self._untold)

    def arrived(self, number: int, tag: str | None) -> None:
        """This was delivered to the consumer `tag`, or fetched."""
        self._order.append(number)
        self._outstanding[number] = tag
        if tag is None:
            self._old.add(number)

    def done(self, number: int) -> None:
        """This is to be acknowledged."""
        if number in self._outstanding:
            del self._outstanding[number]
            self._untold.add(number)
            self._old.discard(number)

    @property
    def outstanding(self) -> int:
        """How many are not done with."""
        return len(self._outstanding)

    @property
    def old(self) -> int:
        """How many are outstanding that no consumer's prefetch counts: its own was ended, or they were fetched."""
        return len(self._old)

    def cut(self, kept: str | None = None) -> None:
        """All consumers were ended, but for `kept`: what has come does not count for the next one."""
        self._old.update(number for number, tag in self._outstanding.items() if tag != kept or tag is None)

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
        stays: it always has a consumer, once it has had one: the queue goes with its last one.
        single: it has one consumer, and never another.
        alone: nobody else would get what it brings.

    Attributes:
        buffer: what has come and was not given out.
        in_hand: how much was given out, or waits for its time, and is not settled.
        acks: of its channel.
        tags: its consumers'.
        prefetch: of all its consumers together.
        tuning: a change of consumers is under way.
        heard_at: when something came last, by the event loop's clock.
        cancelled: the server has ended the consumer: the queue may be gone.
        ended: tags of consumers that the server has ended, perhaps before it was known that they had begun.
    """

    def __init__(
        self, name: str, queue: str, *, stays: bool = False, single: bool = False, alone: bool = False
    ) -> None:
        self.name = name
        self.queue = queue
        self.stays = stays
        self.single = single
        self.alone = alone
        self.buffer: deque[Delivered] = deque()
        self.in_hand = 0
        self.acks = Acks(name)
        self.tags: list[str] = []
        self.prefetch = 0
        self.heard_at = 0.0
        self.tuning = False
        self.cancelled = False
        self.ended: set[str] = set()
        self._too_high = 0
        self._unasked = 0

    @property
    def brings_suspects(self) -> bool:
        """What it brings was lost with its worker before."""
        return self.name == suspects_of(self.queue)

    @property
    def would_come_back(self) -> bool:
        """What is given back to the queue now may be sent here again: its consumers are to be ended first."""
        return bool(self.tags or self.tuning) and not (self.single or self.stays)

    def is_to_end(self, now: float) -> bool:
        """Nobody asks for what waits here, and others are to have it. To be asked at intervals."""
        if not self.buffer or not self.would_come_back or self.tuning:
            self._unasked = 0
            return False
        self._unasked += 1
        return self._is_settled(now) or self._unasked >= _MOST_UNASKED

    def missing_prefetch(self, room: int) -> int:
        """By how much to raise the prefetch, if there is room for so many more than the consumers may bring."""
        missing = min(self.wanted(room), _MOST_AHEAD) - self.prefetch
        if self.tuning or missing <= 0 or (self.single and self.tags):
            return 0
        if self.prefetch + missing <= _EXACT:
            return missing
        return max(missing, int(_RAISE_BY * self.prefetch)) if missing >= _RAISE_AT * self.prefetch else 0

    def is_too_high(self, room: int, now: float) -> bool:
        """The consumers may bring far too much, and have for some time. To be asked at intervals."""
        surplus = self.prefetch - self.wanted(room)
        if self.tuning or self.single or not self.tags or surplus <= 0 or surplus < _LOWER_AT * self.prefetch:
            self._too_high = 0
            return False
        self._too_high += 1
        if self._too_high < _LOWER_AFTER or not self._is_settled(now):
            return False
        self._too_high = 0
        return True

    def _is_settled(self, now: float) -> bool:
        """Nothing is on its way, for all that can be known."""
        is_full = self.acks.outstanding - self.acks.old >= self.prefetch
        return is_full or now - self.heard_at >= _QUIET_SECONDS

    def wanted(self, room: int) -> int:
        """How large the prefetch is to be, with room for so many more."""
        return max(self.in_hand - self.acks.old, 0) + max(room, 1 if self.stays else 0)
