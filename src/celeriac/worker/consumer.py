"""Takes deliveries from the broker, as many as the executors have room for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from celeriac.brokers.base import Broker
from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.message import Delivery
from celeriac.worker.backoff import Backoff
from celeriac.worker.dispatcher import Dispatcher
from celeriac.worker.outages import Outage, Trouble

logger = logging.getLogger("celeriac.worker")

#: Deliveries in one trip.
_MAX_BATCH: Final = 512
#: Seconds that one trip may wait at the broker.
_WAIT_SECONDS: Final = 5.0


#: Seconds for what was taken to be dispatched when the worker stops; the broker may be away just then.
_TAKE_SECONDS: Final = 5.0


class Intake(Protocol):
    """Where deliveries go."""

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Have these run."""
        ...

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Have these given back, untouched."""
        ...


class Consumer:
    """The reserve loop.

    Args:
        broker: where messages are.
        queues: names of the queues to take from.
        dispatcher: knows how many are wanted.
        intake: gets what was taken.
        outage: when to give up a broker that is away.
        give_up: called then, with the reason.
        trouble: told when nothing can be taken for now.
    """

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        dispatcher: Dispatcher,
        intake: Intake,
        outage: Outage,
        give_up: Callable[[str], None],
        trouble: Trouble,
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._dispatcher = dispatcher
        self._intake = intake
        self._outage = outage
        self._give_up = give_up
        self._trouble = trouble
        self._backoff = Backoff()
        self._task: asyncio.Task[None] | None = None
        self._trip: asyncio.Task[list[Delivery]] | None = None
        self._taking: asyncio.Task[None] | None = None
        self._paused_until = 0.0

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def pause(self, seconds: float) -> None:
        """Take nothing for a moment, so that other workers can."""
        self._paused_until = asyncio.get_running_loop().time() + seconds
        if self._trip is not None:
            self._trip.cancel()

    async def stop(self) -> None:
        """Take nothing more. What was taken is dispatched or given back when this returns."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._taking is not None and not self._taking.done():
            # It may have acknowledged some of them by now: they must get to the dispatcher, which hands them back.
            await asyncio.wait([self._taking], timeout=_TAKE_SECONDS)
            self._taking.cancel()

    async def _run(self) -> None:
        while True:
            try:
                return await self._consume()
            except Exception:
                # A worker that lives and takes nothing is worse than one that says so and tries on.
                logger.exception("Taking tasks failed, trying on")
                await asyncio.sleep(self._backoff.next())

    async def _consume(self) -> None:
        wanted = self._dispatcher.wanted
        while True:
            wanted.clear()
            demand = self._dispatcher.demand()
            if demand <= 0:
                await wanted.wait()
                continue
            pause = self._paused_until - asyncio.get_running_loop().time()
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            try:
                deliveries = await self._reserve(min(demand, _MAX_BATCH))
            except OperationalError as error:
                await self._wait_for_broker(error)
                continue
            except StoreRefused as error:  # however often it is asked
                self._give_up(f"Nothing can be taken from the queues {', '.join(self._queues)}: {error}")
                return
            if self._backoff.failing:
                self._outage.end()
                self._trouble.ends("taking tasks")
            if deliveries:
                self._taking = asyncio.get_running_loop().create_task(self._intake.take(deliveries))
                await asyncio.shield(self._taking)
            self._backoff.reset()  # not before: what could not be taken in has gone back, and would come at once

    async def _reserve(self, limit: int) -> list[Delivery]:
        wait = 0.0 if self._backoff.failing else _WAIT_SECONDS  # to know soon that the broker is back
        trip = asyncio.get_running_loop().create_task(self._broker.reserve(self._queues, limit, wait))
        self._trip = trip
        try:
            return await trip
        except asyncio.CancelledError:
            await asyncio.wait([trip])
            if not trip.cancelled() and trip.exception() is None:  # it had just come back
                self._intake.give_back(trip.result())
            consumer = asyncio.current_task()
            if consumer is not None and consumer.cancelling():
                raise
            return []  # by `pause`
        finally:
            self._trip = None

    async def _wait_for_broker(self, error: OperationalError) -> None:
        if self._outage.failed():
            self._give_up(f"The broker is away, and broker_connection_retry and its kin allow no more tries: {error}")
        else:
            self._trouble.begins("taking tasks", error)
        await asyncio.sleep(self._backoff.next())
