"""Running tasks in a test's own process: single attempts, and the smallest worker there can be."""

from __future__ import annotations

import asyncio
from typing import Any

from celeriac import Celeriac, Task
from celeriac.attempt import Attempt, Job, Site
from celeriac.joins import join_message
from celeriac.message import Delivery, Message, PackedMessage
from celeriac.outcome import AckPolicy, Outcome, ResultRecord, decide
from celeriac.publications import Call, make_publication
from celeriac.result_meta import decode_meta

SITE = Site(hostname="w1@host", pid=4711)


def make_message(app: Celeriac, task: Task[..., Any] | str, *args: Any, **options: Any) -> Message:
    call = (
        Call(task, args, {}, options)
        if isinstance(task, str)
        else Call(task.name, args, {}, options, task, checked=True)
    )
    return make_publication(app, call).message


def attempt_of(app: Celeriac, task: Task[..., Any] | str, *args: Any, **options: Any) -> Attempt:
    return Attempt(app, Job(1, make_message(app, task, *args, **options), "celery"), SITE)


def run(app: Celeriac, task: Task[..., Any] | str, *args: Any, **options: Any) -> Outcome:
    """Both ways must come to the same."""
    attempt = attempt_of(app, task, *args, **options)
    return asyncio.run(attempt.arun()) if attempt.is_coroutine else attempt.run()


def stored(outcome: Outcome) -> dict[str, Any]:
    record = outcome.result  # type: ignore[union-attr]
    assert isinstance(record, ResultRecord)
    meta = decode_meta(record.meta, accept=["json"])
    assert meta["status"] == record.status
    return meta


def raise_(exc: BaseException) -> None:
    raise exc


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

    def join(self, queue: str = "celery") -> list[Outcome]:
        """Make the bodies of the chords that are complete now. They are not run."""
        return asyncio.run(self._join(queue))

    def finish(self, queue: str = "celery") -> list[Outcome]:
        """Run all that is due, with the bodies of chords and what comes of it."""
        outcomes: list[Outcome] = []
        while done := [*self.run_all(queue), *self.join(queue)]:
            outcomes += done
        return outcomes

    async def _join(self, queue: str) -> list[Outcome]:
        app, broker = self._app, self._app.broker
        outcomes: list[Outcome] = []
        await broker.open("hand worker", lease_seconds=60)
        try:
            for chord in await app.chord_store.claim_chords([queue], 1000, 60):
                message = join_message(app, chord, chord.reason)
                outcome = await asyncio.to_thread(Attempt(app, Job(1, message, queue), self.site).run)
                delivery = Delivery(f"{chord.group_id}:{chord.claim}", 0, PackedMessage.pack(message), queue)
                settlement = decide(delivery, outcome, app.clock.time(), AckPolicy(acks_late=False))
                assert await broker.settle([settlement]) == []
                outcomes.append(outcome)
        finally:
            await broker.close()
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
