"""Takes deliveries from the broker, as many as the executors have room for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from celeriac.brokers.base import Broker
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery
from celeriac.worker.backoff import Backoff
from celeriac.worker.dispatcher import Dispatcher

logger = logging.getLogger("celeriac.worker")

#: Deliveries in one trip.
_MAX_BATCH: Final = 256
#: Seconds that one trip may wait at the broker.
_WAIT_SECONDS: Final = 5.0


class Intake(Protocol):
    """Where deliveries go."""

    async def take(self, deliveries: Sequence[Delivery]) -> None: ...


class Consumer:
    """The reserve loop.

    Args:
        broker: where messages are.
        queues: names of the queues to take from.
        dispatcher: knows how many are wanted.
        intake: gets what was taken.
    """

    def __init__(self, broker: Broker, queues: Sequence[str], dispatcher: Dispatcher, intake: Intake) -> None:
        self._broker = broker
        self._queues = queues
        self._dispatcher = dispatcher
        self._intake = intake
        self._backoff = Backoff()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Take nothing more. What a cancelled trip had taken is given back by the broker."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        wanted = self._dispatcher.wanted
        while True:
            wanted.clear()
            demand = self._dispatcher.demand()
            if demand <= 0:
                await wanted.wait()
                continue
            try:
                deliveries = await self._broker.reserve(self._queues, min(demand, _MAX_BATCH), _WAIT_SECONDS)
            except OperationalError as error:
                await self._wait_for_broker(error)
                continue
            if self._backoff.failing:
                self._backoff.reset()
                logger.warning("The broker is back; taking tasks again")
            if deliveries:
                await self._intake.take(deliveries)

    async def _wait_for_broker(self, error: OperationalError) -> None:
        if not self._backoff.failing:
            logger.error("The broker gives no tasks, trying on: %s", error)
        await asyncio.sleep(self._backoff.next())
