"""The broker contract: where messages live, who holds them, and what happens when the holder dies.

Every broker implements `Broker` with its methods in this order, and passes `celeriac.testing.conformance`. A broker
knows nothing of tasks, executors or serialisers; it moves messages and writes settlements.

Terms. A worker opens a broker under an *owner* name, unique for each start of a worker. Its *lease* covers all that it
holds and lasts `lease_seconds` from the last `renew`. A delivery's *token* changes whenever the message changes hands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from celeriac.backends.base import Backend, ChordStore
from celeriac.chords import ChordStart
from celeriac.message import DeadLetter, Delivery, Publication
from celeriac.outcome import Settlement


class Capabilities(msgspec.Struct, frozen=True):
    """What a broker can do beyond the contract; a call that needs a missing one raises `NotSupported`.

    Attributes:
        between_processes: other processes can reach the same queues. If False, only in-process executors can work.
        priorities: the number of priority levels that are kept apart, the lowest number first.
        browse_dead_letters: `dead_letters` and `requeue_dead_letters` work.
        exchanges: a publication may name an exchange, and the broker finds the queues. If False, whoever publishes
            must name a queue.
        timed_leases: a lease ends by time. If False it ends with the worker's connection, at once and for good.
        returns_to_front: what is released, and what was lost, goes to the front of its queue. If False, to the back.
        sees_future_work: `depth` and `purge` know of messages that are not due yet.
        longest_name: bytes of UTF-8 that the name of a queue may have for workers to take from it; None for any number.
        all_properties: a message's properties may have any names. If False, those that the broker knows travel.
    """

    between_processes: bool = True
    priorities: int = 10
    browse_dead_letters: bool = True
    exchanges: bool = False
    timed_leases: bool = True
    returns_to_front: bool = True
    sees_future_work: bool = True
    longest_name: int | None = None
    all_properties: bool = True


class Broker(Protocol):
    """Where messages live. `publish` may be called from any thread; all else from one event loop.

    Every method raises `celeriac.exceptions.OperationalError` when the store can not be reached or does not work, after
    a bounded time: the same call may succeed later. `celeriac.exceptions.StoreRefused` says that what was to be stored
    never will be; it is too large for this store, for example. Nothing of the call has been written then, and who wrote
    several things at once finds the culprit by writing them one by one.
    """

    capabilities: Capabilities
    #: The broker's address without passwords, for banners and errors (the full path for files).
    address: str
    #: The store's own place to join chords, which `publish` and `settle` write in the same step as messages; None if
    #: the store has none.
    chords: ChordStore | None

    # -- producing ---------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """Store all of `publications`, or none. Thread-safe, usable without `open`, fit to be called after a fork.

        Args:
            publications: what to store.
            starts: chords to begin in the same step, for brokers that have `chords`.
        """
        ...

    async def apublish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """`publish` for asyncio: the loop is not blocked."""
        ...

    # -- the worker's side -------------------------------------------------------------------------

    async def open(self, owner: str, *, lease_seconds: float) -> None:
        """Take the lease under the name `owner`. Needed before `reserve`.

        Raises:
            OperationalError: the store can not be used, or another process holds a lease under this name.
        """
        ...

    async def reserve(self, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        """Take up to `limit` messages that are due, lowest priority number first, then oldest first in each queue.

        Queues take turns at being first. There may be fewer than could be had: a trip is bounded in bytes as well, but
        never brings nothing while there is something. With nothing to take, wait up to `wait` seconds for something to
        be published or to become due. Messages whose time has come are promoted by this call. When the call is
        cancelled, what it had taken is given back.
        """
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Write each settlement whole or not at all, all in one trip where the store can.

        A trip that carries very much is written in several steps. Should a later one fail, the call fails; given again,
        the settlements that were written count as written. `batches.PartlySettled` says which were not, if the store is
        there and has no room for these alone.

        Results are written where `stores_results_of` the backend in use is true; what belongs to chords is written
        if the broker has `chords`. Else the caller writes both, and leaves them out here.

        Returns:
            Those that were refused because owner or token no longer match. Nothing of them was written.
        """
        ...

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Note in the store that these are about to run.

        Asked for messages that were lost before, so that `recover` can tell the one that kills workers from those
        that merely waited beside it.

        Returns:
            Those whose lease was lost; they must not be run.
        """
        ...

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back untouched, to the front of their level: not counted as deliveries. Lost ones are skipped."""
        ...

    async def renew(self) -> bool:
        """Prolong the lease of all that this owner holds, in one call.

        It does not wait behind the other calls of this broker: a long `settle` must not cost the lease.

        Returns:
            False when the lease had run out; others may have taken over the messages. A new lease is held then.
        """
        ...

    async def recover(self, limit: int) -> list[Delivery]:
        """Take over up to `limit` messages whose owner's lease has run out.

        They come back as deliveries of this owner with `lost_by` set and the history as it was; the caller decides
        (`Lost`) and settles, so that a crash in between merely leaves them to the next caller.

        A worker whose own lease was prolonged late, with less than half of it left or after its end, learns from this
        that the store was away, for other workers too: they may live, and their leases have run out all the same. So
        it takes over nothing for one period of its lease from then on, by the monotonic clock; by then whoever lives
        has renewed. If the own lease has run out when there is something to recover, this call prolongs it.
        """
        ...

    async def close(self) -> None:
        """Release all that is still held and give up the lease. Waiting `reserve` calls return what they have."""
        ...

    # -- looking after queues ----------------------------------------------------------------------

    async def depth(self, queue: str) -> int:
        """Messages that are stored and not held, due or not."""
        ...

    async def purge(self, queue: str) -> int:
        """Delete all messages that are not held. Returns how many."""
        ...

    async def dead_letters(self, queue: str | None = None, *, limit: int = 100, offset: int = 0) -> list[DeadLetter]:
        """Dead letters, newest first; of all queues when `queue` is None."""
        ...

    async def requeue_dead_letters(self, tags: Sequence[int | str]) -> int:
        """Put dead letters back into their queues with an empty history. Returns how many there were."""
        ...

    async def purge_dead_letters(self, queue: str | None = None) -> int:
        """Delete dead letters. Returns how many."""
        ...

    # -- results -----------------------------------------------------------------------------------

    def stores_results_of(self, backend: Backend) -> bool:
        """`settle` writes results where `backend` reads them, in the same transaction."""
        ...

    def disconnect(self) -> None:
        """Close what `publish` holds open. The next `publish` connects anew. Safe to call at any time."""
        ...
