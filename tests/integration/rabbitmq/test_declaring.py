"""What a worker and those who send to it leave on the server, and what they need to be allowed there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.entities import Broadcast, Queue
from celeriac.exceptions import StoreRefused
from celeriac.message import Loss, Message, Publication
from celeriac.outcome import Acknowledge, Requeue, Settlement
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.topology import Topology

from .conftest import Place

_DEADLINE = 30.0


def _job(queue: str, not_before: float | None = None) -> Publication:
    return Publication(Message({"id": "1", "task": "t"}, {}, b"[[], {}, {}]"), queue, not_before=not_before)


@contextlib.contextmanager
def _closing(url: str, *queues: Queue) -> Iterator[RabbitBroker]:
    location = read_location(url, {}, setting="broker_url", settings=Settings())
    broker = RabbitBroker(location, topology=Topology(queues))
    with contextlib.closing(_Disconnected(broker)):
        yield broker


@contextlib.asynccontextmanager
async def _opened(place: Place, *queues: Queue) -> AsyncIterator[RabbitBroker]:
    with _closing(place.url, *queues) as broker:
        await broker.open("w", lease_seconds=10.0)
        try:
            yield broker
        finally:
            await broker.close()


def test_workers_with_a_broadcast_leave_nothing_behind(place: Place) -> None:
    async def main() -> None:
        for _ in range(2):
            broadcast = Broadcast("reload")
            async with _opened(place, broadcast) as broker:
                assert await broker.reserve([broadcast.name], 1, 0.0) == []
                await broker.depth(broadcast.name)

    asyncio.run(main())
    assert [name for name in place.queues() if "suspects" in name] == []


def test_what_was_lost_from_a_queue_that_goes_with_its_worker_goes_back_to_it(place: Place) -> None:
    queue = Queue("mine", auto_delete=True)

    async def main() -> None:
        async with _opened(place, queue) as broker:
            assert await broker.reserve(["mine"], 1, 0.0) == []
            broker.publish([_job("mine")])
            (first,) = await broker.reserve(["mine"], 1, _DEADLINE)
            await broker.settle([Settlement(first, Requeue(loss=Loss(0.0, "x", "gone")))])
            (again,) = await broker.reserve(["mine"], 1, _DEADLINE)
            assert [loss.worker for loss in again.history] == ["x"]
            await broker.settle([Settlement(again, Acknowledge())])

    asyncio.run(main())
    assert [name for name in place.queues() if "suspects" in name] == []


class _Disconnected:
    def __init__(self, broker: RabbitBroker) -> None:
        self.close = broker.disconnect
