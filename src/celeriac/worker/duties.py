"""What a worker does again and again in the background: renew its lease, recover lost messages, sweep results.

Each duty is a class with `tick`; `Ticker` calls it at its interval. A duty that fails is logged once and tried again at
the next tick.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from celeriac.backends.base import Backend
from celeriac.brokers.base import Broker
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery
from celeriac.worker.outages import Trouble

logger = logging.getLogger("celeriac.worker")

#: A lease is renewed so many times before it would run out.
RENEWALS_PER_LEASE: Final = 4
#: Seconds between looks after leases that have run out; a look costs a read.
RECOVER_SECONDS: Final = 1.0
#: Messages taken over in one trip.
_RECOVER_BATCH: Final = 256
#: Seconds until a duty that found the store away is tried again, at most.
_RETRY_SECONDS: Final = 1.0
#: Seconds between sweeps of expired results.
SWEEP_SECONDS: Final = 60.0


class Duty(Protocol):
    """Something that is done at intervals."""

    async def tick(self) -> None:
        """Do it once."""
        ...


class RenewLease:
    """Keeps what this worker holds its own."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def tick(self) -> None:
        is_held = await self._broker.renew()
        if not is_held and self._broker.capabilities.timed_leases:  # others have told of their lost connection
            logger.warning(
                "This worker's lease had run out (the machine was suspended, or the broker was away or lost its data); "
                "other workers may have taken over its tasks"
            )


class RecoverLost:
    """Takes over what dead workers held.

    Args:
        broker: where messages are.
        on_recovered: decides about each of them.
    """

    def __init__(self, broker: Broker, on_recovered: Callable[[Delivery], None]) -> None:
        self._broker = broker
        self._on_recovered = on_recovered

    async def tick(self) -> None:
        while deliveries := await self._broker.recover(_RECOVER_BATCH):
            owners = sorted({str(delivery.lost_by) for delivery in deliveries})
            count = len(deliveries)
            noun = "task" if count == 1 else "tasks"
            logger.warning("Recovered %d %s of dead worker %s", count, noun, ", ".join(owners))
            for delivery in deliveries:
                try:
                    self._on_recovered(delivery)
                except Exception:  # the others must not stay with this worker because of one
                    logger.exception("Can not decide about %s", delivery.label)


class SweepResults:
    """Deletes expired results."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def tick(self) -> None:
        swept = await self._backend.sweep()
        if swept:
            logger.debug("Deleted %d expired results", swept)


class Ticker:
    """Calls a duty at an interval.

    Args:
        duty: what to do.
        seconds: the interval.
        trouble: told when it can not be done for now.
        first_after: seconds until the first time.
    """

    def __init__(self, duty: Duty, seconds: float, trouble: Trouble, *, first_after: float = 0.0) -> None:
        self._duty = duty
        self._seconds = seconds
        self._trouble = trouble
        self._first_after = first_after
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        await asyncio.sleep(self._first_after)
        while True:
            works = await self._try(self._duty.tick)
            await asyncio.sleep(self._seconds if works else min(self._seconds, _RETRY_SECONDS))

    async def _try(self, tick: Callable[[], Awaitable[None]]) -> bool:
        name = type(self._duty).__name__
        try:
            await tick()
        except OperationalError as error:
            self._trouble.begins(name, error)
            return False
        except Exception:  # a duty that stopped for good would be worse than one that fails loudly
            logger.exception("%s failed", name)
        else:
            self._trouble.ends(name)
        return True
