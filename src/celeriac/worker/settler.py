"""Writes settlements, in batches, until the broker has them.

Results are written first, and in the same step wherever broker and backend share a store. While the broker is away
settlements wait here; their number is bounded by what the worker holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac.backends.base import Backend
from celeriac.brokers.base import Broker
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery
from celeriac.outcome import Bury, Keep, Requeue, Settlement
from celeriac.worker.backoff import Backoff
from celeriac.worker.failures import bare_failure
from celeriac.worker.outages import Trouble

if TYPE_CHECKING:
    from celeriac.app import Celeriac

logger = logging.getLogger("celeriac.worker")

#: Settlements in one trip.
_MAX_BATCH: Final = 512
#: A last batch of at least so many means load: the next may wait a moment to grow.
_BUSY_BATCH: Final = 8
_LINGER_SECONDS: Final = 0.002


class Settler:
    """The one that writes what attempts cause.

    Args:
        app: for the failure of a task whose outcome can not be stored.
        broker: where messages are settled.
        backend: where results go.
        trouble: told when nothing can be written for now.
    """

    def __init__(self, app: Celeriac, broker: Broker, backend: Backend, trouble: Trouble) -> None:
        self._app = app
        self._broker = broker
        self._backend = backend
        self._trouble = trouble
        self._shared = broker.stores_results_of(backend)
        self._pending: list[Settlement] = []
        self._released: list[Delivery] = []
        self._writing = self._releasing = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._release_wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._backoff = Backoff()
        self._release_backoff = Backoff()

    @property
    def idle(self) -> bool:
        """Nothing is waiting to be written."""
        return self._idle.is_set()

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        # Giving back is publishing on some brokers. One that takes nothing new for now still takes what is settled.
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._run_releases())]

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
                for lost in await self._write(batch):
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

    def _note_idle(self) -> None:
        if not (self._pending or self._released or self._writing or self._releasing):
            self._idle.set()

    async def _write(self, batch: Sequence[Settlement]) -> list[Settlement]:
        """Write the batch, again and again while the broker is away."""
        while True:
            try:
                lost = await self._write_once(batch)
            except OperationalError as error:
                await self._wait_for_broker(error)
                continue
            except Exception as error:  # noqa: BLE001 - one settlement that can not be written must not stop all others
                if len(batch) == 1:
                    return await self._bury_unwritable(batch[0], error)
                lost = [one for settlement in batch for one in await self._write([settlement])]
            self._note_success()
            for settlement in batch:
                if isinstance(settlement.action, Bury):
                    _log_buried(settlement.delivery, settlement.action.reason)
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
        return await self._write([Settlement(settlement.delivery, Bury(reason), failure, fenced=settlement.fenced)])

    async def _write_once(self, batch: Sequence[Settlement]) -> list[Settlement]:
        if self._shared:
            return await self._broker.settle(batch)
        # The last results go first, so that none is lost; states on the way only once the lease is known to hold.
        await self._store([one for one in batch if not _is_passing(one)])
        lost = await self._broker.settle([msgspec.structs.replace(one, result=None) for one in batch])
        refused = {(one.delivery.tag, one.delivery.token) for one in lost}
        await self._store(
            [one for one in batch if _is_passing(one) and (one.delivery.tag, one.delivery.token) not in refused]
        )
        return lost

    async def _store(self, settlements: Sequence[Settlement]) -> None:
        records = [settlement.result for settlement in settlements if settlement.result is not None]
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


def _log_buried(delivery: Delivery, reason: str) -> None:
    logger.error("Task %s is now a dead letter: %s", delivery.label, reason)
