"""What a worker holds, and what of it outlives the connection it came by.

When a connection ends, the server gives everything back to the queues. What still runs here is then an orphan: should
its message come back to this worker, it is adopted. It is not run a second time, and its outcome, which may be there
already, settles the message in its new place.
"""

from __future__ import annotations

import itertools
import secrets
from collections import Counter, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac.message import Delivery

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.feeds import Feed
    from celeriac.brokers.rabbitmq.line import Delivered
    from celeriac.message import Publication
    from celeriac.outcome import Action, Settlement
    from celeriac.storage.rabbitmq.links import Parcel

#: Seconds for which the outcome of an orphan is kept.
_ORPHAN_SECONDS: Final = 600.0
#: Acknowledgements that may be on their way to the server, seconds for which one may be, and seconds for which those
#: are remembered that may not have arrived there.
_SETTLED_KEPT: Final = 4096
_UNDER_WAY_SECONDS: Final = 30.0
_DOUBTFUL_SECONDS: Final = 60.0
#: Who held what came back, for all that RabbitMQ tells.
UNKNOWN_WORKER: Final = "unknown"


class Held(msgspec.Struct, eq=False):
    """A delivery in hand and its place at the server.

    Attributes:
        delivery: as it was given out.
        feed: where it came from.
        number: its number on the feed's channel.
        since: when it got this place, by the event loop's clock.
        orphaned: when its connection ended; None while it has its place.
        settlement: its outcome, where it came while it was an orphan.
        writing: its outcome is on its way; another one is refused.
        unsent: what an outcome has still to send: its action and follow-ups, and the parcels.
    """

    delivery: Delivery
    feed: Feed
    number: int
    since: float
    orphaned: float | None = None
    settlement: Settlement | None = None
    writing: bool = False
    unsent: tuple[Action, tuple[Publication, ...], list[Parcel]] | None = None


class Holdings:
    """All that one session holds.

    Attributes:
        token: of its deliveries; another session has another.
    """

    def __init__(self) -> None:
        self.token: Final = secrets.randbits(62)
        self._tags = itertools.count(1)
        self._held: dict[int | str, Held] = {}
        self._orphans: dict[tuple[bytes, bytes], list[Held]] = {}
        #: Hashes of what was acknowledged last, and of what was just before a connection ended.
        self._settled: deque[tuple[int, float]] = deque(maxlen=_SETTLED_KEPT)
        self._doubtful: set[int] = set()
        #: Hashes of what had come before a connection ended, and was not given out.
        self._untouched: Counter[int] = Counter()
        self._doubtful_until = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, feed: Feed, came: Delivered, now: float, *, lost: bool = False) -> Delivery:
        """Take in what has come.

        Args:
            feed: its source.
            came: what it is.
            now: the event loop's time.
            lost: another worker held it, and was not done with it.
        """
        arrival = came.arrival
        delivery = Delivery(
            tag=next(self._tags),
            token=self.token,
            packed=arrival.packed,
            queue=feed.queue,
            priority=arrival.priority,
            history=arrival.history,
            started=lost,  # or may have: nothing tells
            lost_by=UNKNOWN_WORKER if lost else None,
            # A classic queue gives everything that it holds this flag when its server was killed.
            doubtful=lost and feed.name == feed.queue and arrival.hold is None and not arrival.counted,
        )
        if arrival.head is not None:
            delivery.note_head(arrival.head)
        feed.in_hand += 1
        self._held[delivery.tag] = Held(delivery, feed, came.number, now)
        return delivery

    def find(self, delivery: Delivery) -> Held | None:
        """What is held under this tag and token."""
        held = self._held.get(delivery.tag)
        return held if held is not None and delivery.token == self.token else None

    def drop(self, held: Held) -> None:
        """It is not held any more."""
        if self._held.pop(held.delivery.tag, None) is None:
            return
        if held.orphaned is None:
            held.feed.in_hand -= 1
        else:
            self._forget_orphan(held)

    def disown(self, held: Held) -> None:
        """Of an orphan that was not begun here: should it come back, it is as good as new."""
        self.drop(held)
        self._untouched[hash(_identity(held.delivery))] += 1

    def note_settled(self, held: Held, now: float) -> None:
        """Its acknowledgement was written. Nobody says whether the server has read it."""
        self._settled.append((hash(_identity(held.delivery)), now))

    def was_settled(self, came: Delivered, now: float) -> bool:
        """This was acknowledged here just before the connection ended, and the server had not heard."""
        mark = _mark(came)
        if now >= self._doubtful_until or mark not in self._doubtful:
            return False
        self._settled.append((mark, now))  # its acknowledgement is written again, with the same doubt
        return True

    def was_untouched(self, came: Delivered, now: float) -> bool:
        """This had come before the connection ended, and was given to nobody."""
        mark = _mark(came)
        if now >= self._doubtful_until or self._untouched[mark] <= 0:
            return False
        self._untouched[mark] -= 1
        return True

    def losses_of_suspects(self) -> list[int]:
        """How often each suspect in hand was lost."""
        return [len(held.delivery.history) for held in self._held.values() if held.feed.brings_suspects]

    def has_suspects_since(self, moment: float) -> bool:
        """Whether a suspect in hand has come after that."""
        return any(held.since > moment for held in self._held.values() if held.feed.brings_suspects)

    def placed(self) -> list[Held]:
        """All that have a place at the server, and whose outcome is not on its way there."""
        return [held for held in self._held.values() if held.orphaned is None and not held.writing]

    def orphan_all(self, untouched: Iterable[Delivered], now: float) -> int:
        """The connection is gone, and with it what was not given out. Returns how many lost their place."""
        lost = [held for held in self._held.values() if held.orphaned is None]
        for held in lost:
            held.orphaned = now
            self._orphans.setdefault(_identity(held.delivery), []).append(held)
        if now >= self._doubtful_until:
            self._doubtful.clear()
            self._untouched.clear()
        oldest = now - _UNDER_WAY_SECONDS  # a message that was sent once more may look the same
        self._doubtful.update(mark for mark, at in self._settled if at >= oldest)
        self._untouched.update(map(_mark, untouched))
        self._doubtful_until = now + _DOUBTFUL_SECONDS
        self._settled.clear()
        return len(lost)

    def adopt(self, feed: Feed, came: Delivered, now: float) -> Held | None:
        """The orphan whose message this is, in its new place; None if it is nobody's here."""
        twins = self._orphans.get((came.arrival.packed.head, came.arrival.packed.body))
        if not twins:
            return None
        held = twins[0]
        self._forget_orphan(held)
        held.orphaned = None
        self.move(held, feed, came, now)
        return held

    def move(self, held: Held, feed: Feed, came: Delivered, now: float) -> None:
        """Give it another place."""
        held.feed, held.number, held.since = feed, came.number, now
        feed.in_hand += 1

    def orphans_of(self, queue: str) -> int:
        """How many of the queue's messages in hand have no place."""
        return sum(1 for held in self._held.values() if held.orphaned is not None and held.feed.queue == queue)

    def without_hope(self, now: float) -> list[Held]:
        """Orphans whose outcome is there and whose message has not come back for long. They are dropped."""
        ends = now - _ORPHAN_SECONDS
        given_up = [
            held
            for twins in self._orphans.values()
            for held in twins
            if held.settlement is not None and held.orphaned is not None and held.orphaned < ends
        ]
        for held in given_up:
            self.drop(held)
        return given_up

    def _forget_orphan(self, held: Held) -> None:
        identity = _identity(held.delivery)
        twins = self._orphans.get(identity)
        if twins is not None and held in twins:
            twins.remove(held)
            if not twins:
                del self._orphans[identity]


def _identity(delivery: Delivery) -> tuple[bytes, bytes]:
    """Two messages of which all this is the same stand for each other."""
    return delivery.packed.head, delivery.packed.body


def _mark(came: Delivered) -> int:
    """Stands for the identity of what has come."""
    return hash((came.arrival.packed.head, came.arrival.packed.body))
