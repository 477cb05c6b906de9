"""The SQLite broker's face: `Broker`, in its order. What is written to the file is in the modules beside it.

Owns threads and waiting. `publish` works in the caller's thread, `renew` in a thread of its own, so that it waits for
nothing else; all the rest runs in one thread of the broker's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from celeriac.backends.base import Backend, ChordStore
from celeriac.backends.sqlite import SQLiteBackend, SQLiteChordStore
from celeriac.brokers.base import Capabilities
from celeriac.brokers.batches import WrittenParts, split
from celeriac.brokers.sqlite import keeping, leasing, reserving, settling
from celeriac.brokers.sqlite.leasing import Lease
from celeriac.brokers.sqlite.publishing import prepare_publications, publish_prepared
from celeriac.brokers.sqlite.waiting import WorkWaiter
from celeriac.chords import ChordStart
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import OperationalError
from celeriac.message import DeadLetter, Delivery, Publication
from celeriac.outcome import Settlement
from celeriac.storage.runner import ThreadRunner
from celeriac.storage.sqlite.bell import ListenerPool
from celeriac.storage.sqlite.checkpoints import Checkpointer
from celeriac.storage.sqlite.chords import change_chords
from celeriac.storage.sqlite.database import Database, Transaction

T = TypeVar("T")

#: Seconds after which an idle worker looks for itself, should a ring have been lost.
_LOOK_INTERVAL: Final = 0.1
#: The same where it can not be rung at all.
_BLIND_INTERVAL: Final = 0.02
#: What each queue adds to either: a look costs some microseconds for each.
_INTERVAL_PER_QUEUE: Final = 0.0001
#: Seconds for which a bell is good; it is written anew at half of that.
_BELL_SECONDS: Final = 60.0


class _Attempt(msgspec.Struct):
    """What one look found. `seen`: the number of rings before it."""

    deliveries: list[Delivery]
    next_due: float | None


class SQLiteBroker:
    """A broker on one SQLite file.

    Args:
        path: of the file; a relative one is made absolute here.
        clock: for leases and due times.
        busy_timeout: seconds to wait for another process's transaction before `OperationalError`.

    Example:
        >>> SQLiteBroker("/var/lib/app/queue.db").address
        'sqlite:////var/lib/app/queue.db'
    """

    def __init__(self, path: str, *, clock: Clock = SYSTEM_CLOCK, busy_timeout: float = 5.0) -> None:
        self.capabilities = Capabilities()
        self.database = Database(path, clock=clock, busy_timeout=busy_timeout)
        self.address = f"sqlite:///{self.database.path}"
        self._clock = clock
        self._runner = ThreadRunner("celeriac-sqlite-broker")
        self.chords: ChordStore | None = SQLiteChordStore(self.database, self._runner)
        #: Renews the lease, whatever the other thread is at.
        self._keeper = ThreadRunner("celeriac-sqlite-lease")
        self._checkpointer = Checkpointer(self.database)
        self._waiter = WorkWaiter(ListenerPool())
        self._lease: Lease | None = None
        self._written = WrittenParts()
        self._turn = 0
        self._armed: tuple[frozenset[str], float, int] | None = None

    # -- producing ------------------------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """See `Broker.publish`."""
        prepared = prepare_publications(publications)

        def work(transaction: Transaction) -> None:
            change_chords(transaction, starts)
            publish_prepared(transaction, prepared)

        if prepared or starts:
            self.database.write(work)

    async def apublish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """See `Broker.apublish`."""
        await self._runner.run(lambda: self.publish(publications, starts))

    # -- the worker's side ----------------------------------------------------------------------------------------

    async def open(self, owner: str, *, lease_seconds: float) -> None:
        """See `Broker.open`."""
        if self._lease is not None:
            raise OperationalError(
                f"this broker is open already, as {self._lease.owner!r}; close it first, or use another one"
            )
        self._lease = await self._write(lambda tx: leasing.take_lease(tx, owner, lease_seconds))
        self._written.clear()
        self._waiter.start()
        self._checkpointer.start()

    async def reserve(self, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        """See `Broker.reserve`."""
        lease = self._held_lease()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        rung = False
        while True:
            seen = self._waiter.rings
            remaining = deadline - loop.time()
            attempt = await self._attempt(lease, queues, limit, seen, idle=remaining > 0, rung=rung)
            if self._lease is not lease:
                return []  # closed meanwhile: what was taken has been given back
            if attempt.deliveries or remaining <= 0:
                return attempt.deliveries
            interval = _BLIND_INTERVAL if self._waiter.port is None else _LOOK_INTERVAL
            pause = min(remaining, interval + _INTERVAL_PER_QUEUE * len(queues))
            if attempt.next_due is not None:
                pause = min(pause, max(0.0, attempt.next_due - self._clock.time()))
            await self._waiter.sleep(pause, seen)
            rung = self._waiter.rings != seen

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """See `Broker.settle`. Results and chords that they speak of are written to this file."""
        if not settlements:
            return []
        lease = self._held_lease()
        refused: list[Settlement] = []
        accepted: list[Settlement] = []
        first = True
        for part in split(self._written.without_written(settlements)):
            try:
                lost = await self._settle_part(lease, part, first=first)
            except BaseException:
                self._written.keep(accepted)
                raise
            refused.extend(lost)
            gone = {id(settlement) for settlement in lost}
            accepted.extend(settlement for settlement in part if id(settlement) not in gone)
            first = False
        return refused

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """See `Broker.mark_started`."""
        lease = self._held_lease()
        return await self._write(lambda tx: settling.mark_started(tx, lease, deliveries))

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """See `Broker.release`."""
        lease = self._held_lease()
        await self._write(lambda tx: settling.give_back(tx, lease, deliveries))

    async def renew(self) -> bool:
        """See `Broker.renew`."""
        lease = self._held_lease()

        def work(transaction: Transaction) -> bool:
            leasing.delete_stale_bells(transaction, _BELL_SECONDS)
            leasing.prolong_lease(transaction, lease)
            lapsed, lease.lapsed = lease.lapsed, False
            return not lapsed

        return await self._keeper.run(lambda: self.database.write(work))

    async def recover(self, limit: int) -> list[Delivery]:
        """See `Broker.recover`."""
        lease = self._held_lease()
        return await self._hop(lambda: self._recover(lease, limit), lambda deliveries: deliveries)

    async def close(self) -> None:
        """See `Broker.close`."""
        lease, self._lease = self._lease, None
        self._waiter.stop()
        self._armed = None
        self._keeper.stop()
        self._checkpointer.stop()
        if lease is not None:
            await self._write(lambda tx: leasing.give_up_lease(tx, lease))
        self._runner.stop()
        self.database.close()

    # -- looking after queues -------------------------------------------------------------------------------------

    async def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        return await self._runner.run(lambda: self.database.read(lambda connection: keeping.depth(connection, queue)))

    async def purge(self, queue: str) -> int:
        """See `Broker.purge`. Deletes in bounded batches."""
        purged = 0
        while count := await self._write(lambda tx: keeping.purge_some(tx, queue)):
            purged += count
        return purged

    async def dead_letters(self, queue: str | None = None, *, limit: int = 100, offset: int = 0) -> list[DeadLetter]:
        """See `Broker.dead_letters`."""
        return await self._runner.run(
            lambda: self.database.read(lambda connection: keeping.read_dead_letters(connection, queue, limit, offset))
        )

    async def requeue_dead_letters(self, tags: Sequence[int | str]) -> int:
        """See `Broker.requeue_dead_letters`."""
        return await self._write(lambda tx: keeping.requeue_dead_letters(tx, tags))

    async def purge_dead_letters(self, queue: str | None = None) -> int:
        """See `Broker.purge_dead_letters`."""
        return await self._write(lambda tx: keeping.purge_dead_letters(tx, queue))

    # -- results --------------------------------------------------------------------------------------------------

    def stores_results_of(self, backend: Backend) -> bool:
        """See `Broker.stores_results_of`: a backend on the same file."""
        if not isinstance(backend, SQLiteBackend):
            return False
        return Path(backend.database.path).resolve() == Path(self.database.path).resolve()

    def disconnect(self) -> None:
        """See `Broker.disconnect`. Ends the thread too, unless a worker has it in use."""
        if self._lease is None:
            self._runner.stop()
        self.database.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _held_lease(self) -> Lease:
        if self._lease is None:
            raise OperationalError("this broker is not open; await open(owner, lease_seconds=...) first")
        return self._lease

    async def _settle_part(self, lease: Lease, part: Sequence[Settlement], *, first: bool) -> list[Settlement]:
        def work(transaction: Transaction) -> list[Settlement]:
            if not first:  # one long write after another may leave no gap for `renew`
                leasing.prolong_if_alive(transaction, lease)
            return settling.settle(transaction, lease, part)

        return await self._write(work)

    async def _write(self, work: Callable[[Transaction], T]) -> T:
        return await self._runner.run(lambda: self.database.write(work))

    async def _attempt(
        self, lease: Lease, queues: Sequence[str], limit: int, seen: int, *, idle: bool, rung: bool
    ) -> _Attempt:
        turn = self._turn % len(queues) if queues else 0
        order = [*queues[turn:], *queues[:turn]]
        attempt = await self._hop(
            lambda: self._take_or_arm(lease, order, limit, seen, idle=idle, rung=rung),
            lambda attempt: attempt.deliveries,
        )
        if attempt.deliveries:
            self._turn += 1
        return attempt

    async def _hop(self, job: Callable[[], T], taken: Callable[[T], list[Delivery]]) -> T:
        """Run `job` in the thread. Should the caller be cancelled meanwhile, what was taken is given back."""
        future = self._runner.run(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: self._give_back(done, taken))
            raise

    def _give_back(self, done: asyncio.Future[T], taken: Callable[[T], list[Delivery]]) -> None:
        if done.cancelled() or done.exception() is not None:
            return  # nothing was taken; a store that fails shows itself to the next call
        deliveries, lease = taken(done.result()), self._lease
        if deliveries and lease is not None:
            self._runner.run(lambda: self.database.write(lambda tx: settling.give_back(tx, lease, deliveries)))

    # -- in the thread --------------------------------------------------------------------------------------------

    def _take_or_arm(
        self, lease: Lease, queues: Sequence[str], limit: int, seen: int, *, idle: bool, rung: bool
    ) -> _Attempt:
        if rung and limit > 0:  # there is something: no need to look first, unless another worker was faster
            taken = self.database.write(lambda tx: self._take(tx, lease, queues, limit))
            if taken:
                return _Attempt(taken, None)
        glance = self.database.read(lambda c: reserving.peek(c, queues, self._clock.time()))
        if not glance.anything and idle and self._must_arm(queues, seen):
            glance = self._arm(queues, seen, glance.next_due)
        if not glance.anything or limit <= 0:
            return _Attempt([], glance.next_due)
        return _Attempt(self.database.write(lambda tx: self._take(tx, lease, queues, limit)), None)

    def _take(self, transaction: Transaction, lease: Lease, queues: Sequence[str], limit: int) -> list[Delivery]:
        taken = reserving.take(transaction, lease, queues, limit)
        port = self._waiter.port
        if taken and self._armed is not None and port is not None:
            reserving.disarm_bells(transaction, list(self._armed[0]), port)
            self._armed = None
        return taken

    def _must_arm(self, queues: Sequence[str], seen: int) -> bool:
        """Not armed for all of these queues, armed long ago, or rung since."""
        if self._armed is None:
            return True
        armed_for, since, rings = self._armed
        return not armed_for.issuperset(queues) or rings != seen or time.monotonic() - since > _BELL_SECONDS / 2

    def _arm(self, queues: Sequence[str], seen: int, next_due: float | None) -> reserving.Glance:
        """Write the bells, then look again: what was published before them rang nobody."""
        port = self._waiter.port
        if port is None:
            return reserving.Glance(False, next_due)
        self.database.write(lambda tx: reserving.arm_bells(tx, queues, port, next_due, _BELL_SECONDS))
        self._armed = (frozenset(queues), time.monotonic(), seen)
        return self.database.read(lambda c: reserving.peek(c, queues, self._clock.time()))

    def _recover(self, lease: Lease, limit: int) -> list[Delivery]:
        now = self._clock.monotonic()
        if limit <= 0 or leasing.is_quiet(lease, now):
            return []
        if not self.database.read(lambda c: leasing.any_dead(c, lease, now)):
            return []
        return self.database.write(lambda tx: leasing.recover(tx, lease, limit))
