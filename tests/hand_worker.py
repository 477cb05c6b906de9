"""The smallest worker there can be: takes, runs and settles when it is told to, in the test's own process."""

from __future__ import annotations

import asyncio

from celeriac import Celeriac
from celeriac.attempt import Attempt, Job, Site
from celeriac.message import Delivery
from celeriac.outcome import Outcome, decide


class HandWorker:
    """Runs what waits, when told to."""

    site = Site(hostname="w1@host", pid=4711)

    def __init__(self, app: Celeriac) -> None:
        self._app = app

    def waiting(self, queue: str = "celery") -> list[Delivery]:
        """What a worker would get now, in order. It stays where it is."""
        return asyncio.run(self._take(queue, settle=False))[0]

    def run(self, queue: str = "celery") -> list[Outcome]:
        """Run all that is due now, not what comes of it."""
        return asyncio.run(self._take(queue, settle=True))[1]

    def run_all(self, queue: str = "celery") -> list[Outcome]:
        """Run all that is due, and what comes of it."""
        outcomes: list[Outcome] = []
        while done := self.run(queue):
            outcomes += done
        return outcomes

    async def _take(self, queue: str, *, settle: bool) -> tuple[list[Delivery], list[Outcome]]:
        broker = self._app.broker
        await broker.open("hand worker", lease_seconds=60)
        try:
            deliveries = await broker.reserve([queue], 1000, 0)
            if not settle:
                return deliveries, []
            outcomes = [await asyncio.to_thread(self._attempt, delivery) for delivery in deliveries]
            now = self._app.clock.time()
            settlements = [decide(delivery, out, now) for delivery, out in zip(deliveries, outcomes, strict=True)]
            assert await broker.settle(settlements) == []
            return deliveries, outcomes
        finally:
            await broker.close()

    def _attempt(self, delivery: Delivery) -> Outcome:
        job = Job(1, delivery.message, delivery.queue, len(delivery.history), priority=delivery.priority)
        return Attempt(self._app, job, self.site).run()
