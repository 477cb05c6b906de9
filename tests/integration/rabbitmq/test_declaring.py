"""What a worker and those who send to it leave on the server, and what they need to be allowed there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import amqp
import pytest

from celeriac.brokers import open_broker
from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.entities import Broadcast, Queue
from celeriac.exceptions import ImproperlyConfigured, StoreRefused
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


@pytest.mark.parametrize("name", ["x" * 199, "x" * 255, "a." * 67, "~" * 100, "\u00fc" * 100])
def test_nothing_is_sent_to_a_queue_that_no_worker_can_take_from(place: Place, name: str) -> None:
    with _closing(place.url) as broker, pytest.raises(StoreRefused, match="198 bytes"):
        broker.publish([_job(name)])
    assert place.queues() == {}


def test_who_may_not_declare_the_ladder_uses_the_one_that_is_there(place: Place) -> None:
    with _closing(place.url) as broker:
        broker.publish([_job("tasks", time.time() + 3600)])
    user = f"sender-{place.vhost}"
    place.server.add_user(user, "secret")
    place.server.permit(user, place.vhost, configure="^$", write=".*", read=".*")
    with _closing(place.server.url(place.vhost, user=user, password="secret")) as broker:
        broker.publish([_job("tasks", time.time() + 3600)])
    assert sum(state.ready for name, state in place.queues().items() if name.startswith("celery_delayed_")) == 2


def test_a_ladder_that_lacks_a_rung_is_mended(place: Place) -> None:
    with _closing(place.url) as broker:
        broker.publish([_job("tasks", time.time() + 3600)])
    connection = amqp.Connection(f"127.0.0.1:{place.server.port}", virtual_host=place.vhost)
    connection.connect()
    with contextlib.closing(connection):
        connection.channel().queue_delete("celery_delayed_5")
    with _closing(place.url) as broker:
        broker.publish([_job("tasks", time.time() + 3600)])
    assert "celery_delayed_5" in place.queues()


def _apart(read_url: str, write_url: str) -> RabbitBroker:
    settings = Settings(broker_read_url=read_url, broker_write_url=write_url)
    broker = open_broker(read_url, settings=settings)
    assert isinstance(broker, RabbitBroker)
    return broker


def test_a_worker_takes_by_one_way_and_sends_by_another_of_the_same_place(place: Place) -> None:
    async def main() -> None:
        broker = _apart(place.url, place.url.replace("127.0.0.1", "localhost"))
        with contextlib.closing(_Disconnected(broker)):
            await broker.open("w", lease_seconds=10.0)
            broker.publish([_job("tasks")])
            (taken,) = await broker.reserve(["tasks"], 1, _DEADLINE)
            await broker.settle([Settlement(taken, Acknowledge())])
            await broker.close()

    asyncio.run(main())


def test_a_worker_refuses_to_send_to_another_place_than_it_takes_from(place: Place) -> None:
    other = place.server.add_vhost()

    async def main() -> None:
        broker = _apart(place.url, place.server.url(other))
        with contextlib.closing(_Disconnected(broker)):
            for _ in range(2):  # it has let go of its name
                with pytest.raises(ImproperlyConfigured, match="broker_write_url"):
                    await broker.open("w", lease_seconds=10.0)

    try:
        asyncio.run(main())
    finally:
        place.server.remove_vhost(other)


class _Disconnected:
    def __init__(self, broker: RabbitBroker) -> None:
        self.close = broker.disconnect
