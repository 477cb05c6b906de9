"""Writes settlements, in batches, until the broker has them.

Results are written first, and in the same step wherever broker and backend share a store. While the broker is away
settlements wait here; their number is bounded by what the worker holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac.backends.base import Backend
from celeriac.brokers.base import Broker
from celeriac.brokers.batches import PartlySettled
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery
from celeriac.outcome import Bury, Keep, Requeue, Settlement
from celeriac.worker import flows
from celeriac.worker.backoff import Backoff
from celeriac.worker.failures import bare_failure, consequences
from celeriac.worker.outages import Trouble

if TYPE_CHECKING:
    from celeriac.app import Celeriac

logger = logging.getLogger("celeriac.worker")

#: Settlements in one trip.
_MAX_BATCH: Final = 512
#: A last batch of at least so many means load: the next may wait a moment to grow.
_BUSY_BATCH: Final = 8
_LINGER_SECONDS: Final = 0.002
#: Settlements that may wait beside the others because the queue that they send to is full.
_MOST_ASIDE: Final = 1000


def _ignore_shares() -> None:
    """Nobody wants to know."""


class Settler:
    """The one that writes what attempts cause.

    Args:
        app: for the failure of a task whose outcome can not be stored.
        broker: where messages are settled.
        backend: where results go.
        trouble: told when nothing can be written for now.
        on_shares: called when members of chords have given their shares.
    """

    def __init__(
        self,
        app: Celeriac,
        broker: Broker,
        backend: Backend,
        trouble: Trouble,
        on_shares: Callable[[], None] = _ignore_shares,
    ) -> None:
        self._app = app
        self._broker = broker
        self._backend = backend
        self._trouble = trouble
        self._on_shares = on_shares
        self._shared = broker.stores_results_of(backend)
        self._joins_at_broker = app.joins_chords_at_broker
        self._pending: list[Settlement] = []
        self._released: list[Delivery] = []
        self._writing = self._releasing = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._release_wanted = asyncio.Event()
        self._aside: list[Settlement] = []
        self._aside_wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._backoff = Backoff()
        self._release_backoff = Backoff()
        self._aside_backoff = Backoff()

    @property
    def idle(self) -> bool:
        """Nothing is waiting to be written."""
        return self._idle.is_set()

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        # Giving back is publishing on some brokers. One that takes nothing new for now still takes what is settled.
        runs = (self._run(), self._run_releases(), self._run_aside())
        self._tasks = [loop.create_task(run) for run in runs]

    def put(self, settlement: Settlement) -> None:
        """Write this soon."""
        self.put_all((settlement,))

    def put_all(self, settlements: Sequence[Settlement]) -> None:
        """Write these soon."""
        if settlements:
            self._pending.extend(settlements)
            self._idle.clear()
            self._wake.set()

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give these back soon, untouched."""
        self._released.extend(deliveries)
        self._idle.clear()
        self._release_wanted.set()

    async def settle_now(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Write these before anything else is done with their deliveries.

        Returns:
            Those whose lease was lost.
        """
        return await self._write(settlements)

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Have the broker note that these are about to run. Returns those whose lease was lost."""
        while True:
            try:
                lost = await self._broker.mark_started(deliveries)
            except OperationalError as error:
                await self._wait_for_broker(error)
            else:
                self._note_success()
                return lost

    async def drain(self, timeout: float) -> bool:
        """Wait until all is written; False if the broker does not let it happen in `timeout` seconds."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        busy = False
        while True:
            await self._wake.wait()
            if busy and len(self._pending) < _MAX_BATCH:
                await asyncio.sleep(_LINGER_SECONDS)
            self._wake.clear()
            self._writing = True
            batch, self._pending = self._pending[:_MAX_BATCH], self._pending[_MAX_BATCH:]
            busy = len(batch) >= _BUSY_BATCH
            batch = _without_superseded(batch)
            if batch:
                for lost in await self._write(batch, may_wait=True):
                    _log_lost(lost.delivery)
            self._writing = False
            if self._pending:
                self._wake.set()
            self._note_idle()

    async def _run_releases(self) -> None:
        while True:
            await self._release_wanted.wait()
            self._release_wanted.clear()
            released, self._released = self._released, []
            self._releasing = True
            await self._release(released)
            self._releasing = False
            self._note_idle()

    async def _run_aside(self) -> None:
        """Try again what has to wait for reasons of its own."""
        while True:
            await self._aside_wanted.wait()
            await asyncio.sleep(self._aside_backoff.next())
            tried = list(self._aside)
            left: list[Settlement] = []
            for n in range(0, len(tried), _MAX_BATCH):
                left += await self._try_again(tried[n : n + _MAX_BATCH])
            if len(left) < len(tried):
                self._aside_backoff.reset()
            self._aside[: len(tried)] = left  # more may have come meanwhile
            if not self._aside:
                self._aside_wanted.clear()
                self._trouble.ends("settling some")
            self._note_idle()

    async def _try_again(self, batch: list[Settlement]) -> list[Settlement]:
        """Returns those that have to wait on."""
        left: Sequence[Settlement] = ()
        try:
            lost = await self._write_once(await self._begun(batch))
        except PartlySettled as error:
            left, lost = error.left, list(error.refused)
        except OperationalError:  # others have told of it
            return batch
        except Exception:  # noqa: BLE001 - of one of them, whichever it is
            self.put_all(batch)  # what was written counts as written
            return []
        for one in lost:
            _log_lost(one.delivery)
        _log_buried(_without(batch, left))
        return list(left)

    def _set_aside(self, error: PartlySettled) -> None:
        self._trouble.begins("settling some", error)
        self._aside += error.left
        self._aside_wanted.set()

    def _note_idle(self) -> None:
        if not (self._pending or self._released or self._aside or self._writing or self._releasing):
            self._idle.set()

    async def _write(self, batch: Sequence[Settlement], *, may_wait: bool = False) -> list[Settlement]:
        """Write the batch, again and again while the broker is away.

        Args:
            batch: what to write.
            may_wait: what the broker can not take for reasons of its own is written later.
        """
        while True:
            try:
                batch = await self._begun(batch)
                lost = await self._write_once(batch)
            except PartlySettled as error:
                if not may_wait or len(self._aside) + len(error.left) > _MOST_ASIDE:
                    await self._wait_for_broker(error)
                    continue
                self._set_aside(error)
                lost, batch = list(error.refused), _without(batch, error.left)
            except OperationalError as error:
                await self._wait_for_broker(error)
                continue
            except Exception as error:  # noqa: BLE001 - one settlement that can not be written must not stop all others
                if len(batch) == 1:
                    return await self._bury_unwritable(batch[0], error)
                lost = [one for settlement in batch for one in await self._write([settlement], may_wait=may_wait)]
            self._note_success()
            _log_buried(batch)
            return lost

    async def _bury_unwritable(self, settlement: Settlement, error: Exception) -> list[Settlement]:
        """The store refuses this very settlement (a result that is too large for it): keep at least the message."""
        if isinstance(settlement.action, Bury):
            # Not even that. It stays leased, and is delivered again after this worker has ended.
            logger.error("Can not settle %s", settlement.delivery.label, exc_info=error)
            return []
        if isinstance(settlement.action, Keep) and settlement.fenced:
            logger.error("Can not store a state of %s: %r", settlement.delivery.label, error)
            return []  # the task still runs
        reason = f"its outcome can not be stored: {error!r}"
        failure = bare_failure(self._app, settlement.delivery.packed, error)
        logger.error("Task %s: %s", settlement.delivery.label, reason)
        delivery, follows = settlement.delivery, consequences(self._app, settlement.delivery, error)
        buried = Settlement(
            delivery, Bury(reason), failure, follows.publications, fenced=settlement.fenced, flow=follows.flow
        )
        return await self._write([buried])

    async def _write_once(self, batch: Sequence[Settlement]) -> list[Settlement]:
        if all(one.flow is None for one in batch):
            return await self._write_plain(batch)
        if not self._joins_at_broker:
            return await self._write_and_end(batch)
        lost = await self._write_plain(batch)
        if any(one.flow is not None and (one.flow.shares or one.flow.starts) for one in batch):
            self._on_shares()
        return lost

    async def _begun(self, batch: Sequence[Settlement]) -> Sequence[Settlement]:
        """The batch when chords in another store have learned what they must before messages are sent."""
        if all(one.flow is None for one in batch):
            return batch
        if any(one.flow is not None and one.flow.broken for one in batch) and self._app.joins_chords:
            batch = await flows.break_chords(self._app, batch)
            self._on_shares()
        if self._joins_at_broker or all(one.flow is None for one in batch):
            return batch
        begun = await flows.begin(self._app, batch)
        self._on_shares()
        return begun

    async def _write_and_end(self, batch: Sequence[Settlement]) -> list[Settlement]:
        batch, late = await flows.still_claimed(self._app, batch)
        try:
            lost = await self._write_plain(flows.without_flow(batch))
        except PartlySettled as error:
            left = {_place(one): one.flow for one in batch}
            await self._end_chords(_without(batch, [*error.left, *error.refused]))
            kept = [msgspec.structs.replace(one, flow=left[_place(one)]) for one in error.left]
            raise PartlySettled(str(error), kept, [*error.refused, *late]) from error
        await self._end_chords(_without(batch, lost))
        return [*lost, *late]

    async def _end_chords(self, written: Sequence[Settlement]) -> None:
        """Until it is done: the bodies are sent, and would be sent again."""
        ends = flows.ends_of(written)
        while ends:
            try:
                await self._app.chord_store.end_chords(ends)
            except OperationalError as error:
                await self._wait_for_broker(error)
            else:
                return

    async def _write_plain(self, batch: Sequence[Settlement]) -> list[Settlement]:
        if self._shared:
            return await self._broker.settle(batch)
        # The last results go first, so that none is lost; states on the way only once the lease is known to hold.
        await self._store([one for one in batch if not _is_passing(one)])
        try:
            lost = await self._broker.settle([flows.without_results(one) for one in batch])
        except PartlySettled as error:
            raise await self._with_states(batch, error) from error
        refused = {(one.delivery.tag, one.delivery.token) for one in lost}
        await self._store(
            [one for one in batch if _is_passing(one) and (one.delivery.tag, one.delivery.token) not in refused]
        )
        return lost

    async def _with_states(self, batch: Sequence[Settlement], error: PartlySettled) -> PartlySettled:
        """Store the states that belong to what was written. Returns the error with those of the others."""
        left = {_place(one) for one in error.left}
        kept_out = left.union(map(_place, error.refused))
        await self._store([one for one in batch if _is_passing(one) and _place(one) not in kept_out])
        return PartlySettled(
            str(error),
            [one if _is_passing(one) else flows.without_results(one) for one in batch if _place(one) in left],
            error.refused,
        )

    async def _store(self, settlements: Sequence[Settlement]) -> None:
        records = [record for settlement in settlements for record in flows.results_of(settlement)]
        if records:
            await self._backend.astore(records)

    async def _release(self, deliveries: list[Delivery]) -> None:
        while True:
            try:
                await self._broker.release(deliveries)
            except OperationalError as error:
                self._trouble.begins("giving back", error)
                await asyncio.sleep(self._release_backoff.next())
            except Exception:
                # They stay leased, and are delivered again after this worker has ended.
                logger.exception("Can not give back %d tasks", len(deliveries))
                return
            else:
                self._release_backoff.reset()
                self._trouble.ends("giving back")
                return

    def _note_success(self) -> None:
        if self._backoff.failing:
            self._backoff.reset()
            self._trouble.ends("settling")

    async def _wait_for_broker(self, error: OperationalError) -> None:
        self._trouble.begins("settling", error)
        await asyncio.sleep(self._backoff.next())


def _is_passing(settlement: Settlement) -> bool:
    """The task goes on: its state is not its result."""
    return isinstance(settlement.action, Keep | Requeue) and settlement.fenced


def _place(one: Settlement) -> tuple[object, ...]:
    return one.delivery.tag, one.delivery.token, type(one.action)


def _without(batch: Sequence[Settlement], others: Sequence[Settlement]) -> list[Settlement]:
    places = set(map(_place, others))
    return [one for one in batch if _place(one) not in places]


def _without_superseded(batch: list[Settlement]) -> list[Settlement]:
    """Leave out STARTED of tasks that have ended by now: acknowledged first, they would look taken over."""
    if not any(type(one.action) is Keep for one in batch):
        return batch  # nearly always
    ended = {one.delivery.tag for one in batch if not isinstance(one.action, Keep)}
    return [one for one in batch if not (isinstance(one.action, Keep) and one.fenced and one.delivery.tag in ended)]


def _log_lost(delivery: Delivery) -> None:
    logger.warning(
        "Task %s is not this worker's any more, it was taken over by another or forgotten by the store: what it did "
        "here is not recorded",
        delivery.label,
    )


def _log_buried(written: Sequence[Settlement]) -> None:
    for one in written:
        if isinstance(one.action, Bury):
            logger.error("Task %s is now a dead letter: %s", one.delivery.label, one.action.reason)
