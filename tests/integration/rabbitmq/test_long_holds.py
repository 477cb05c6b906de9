"""Holds that are renewed because RabbitMQ gives up on deliveries that wait too long for their acknowledgement."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import amqp
import pytest

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery, Message, Publication
from celeriac.outcome import Acknowledge, Settlement
from celeriac.storage.rabbitmq.links import Links, Parcel
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.topology import Topology

from .conftest import Place

_DEADLINE = 30.0
#: Seconds: holds are renewed twice in this time.
_TIMEOUT = 2.0


@contextlib.asynccontextmanager
async def _opened(place: Place) -> AsyncIterator[RabbitBroker]:
    options = {"consumer_timeout": _TIMEOUT}
    location = read_location(place.url, options, setting="broker_url", settings=Settings())
    broker = RabbitBroker(location, topology=Topology([]))
    try:
        await broker.open("w", lease_seconds=10.0)
        yield broker
    finally:
        await broker.close()
        broker.disconnect()


async def _take_one(broker: RabbitBroker, **properties: str) -> Delivery:
    broker.publish([Publication(Message({"id": "long", "task": "t"}, properties, b"[[], {}, {}]"), "tasks")])
    (delivery,) = await broker.reserve(["tasks"], 1, _DEADLINE)
    return delivery


async def _holding_queue(place: Place) -> str:
    """The name of the queue for holds, when it is there."""
    async with asyncio.timeout(_DEADLINE):
        while not (names := [name for name in await _names(place) if name.startswith("celeriac.held.")]):
            await asyncio.sleep(0)
    return names[0]


async def _names(place: Place) -> list[str]:
    return list(await asyncio.to_thread(place.queues))


async def _until(place: Place, is_so: Callable[[int, int], bool]) -> None:
    """Wait for what `is_so` says of how many messages there are, and of how many somebody holds."""
    while True:
        states = (await asyncio.to_thread(place.queues)).values()
        held = sum(state.unacknowledged for state in states)
        if is_so(sum(state.ready for state in states) + held, held):
            return


def _delete(place: Place, queue: str) -> None:
    connection = amqp.Connection(f"127.0.0.1:{place.server.port}", virtual_host=place.vhost)
    connection.connect()
    with contextlib.closing(connection):
        connection.channel().queue_delete(queue)


def _arguments(place: Place) -> str:
    return place.server.eval(
        "[amqqueue:get_arguments(Q) || Q <- rabbit_amqqueue:list(<<"
        f'"{place.vhost}">>), binary:match(element(4, amqqueue:get_name(Q)), <<"celeriac.held.">>) =/= nomatch]'
    )


def test_a_queue_for_holds_that_was_gone_is_made_as_the_first_time(place: Place) -> None:
    """Made in any other way it would keep what its worker leaves there, for ever."""

    async def main() -> None:
        async with _opened(place) as broker:
            await _take_one(broker)
            name = await _holding_queue(place)
            as_first = await asyncio.to_thread(_arguments, place)
            assert "x-dead-letter-routing-key" in as_first
            await asyncio.to_thread(_delete, place, name)
            assert await _holding_queue(place) == name
            assert await asyncio.to_thread(_arguments, place) == as_first

    asyncio.run(main())


@pytest.mark.parametrize("properties", [{}, {"expiration": "600000"}], ids=["plain", "expires"])
def test_a_connection_lost_behind_a_copy_leaves_one_message(
    place: Place, monkeypatch: pytest.MonkeyPatch, properties: dict[str, str]
) -> None:
    """The copy and what it was made of both come back: they are one task, which runs here."""

    async def main() -> None:
        async with asyncio.timeout(_DEADLINE), _opened(place) as broker:
            delivery = await _take_one(broker, **properties)
            lost = asyncio.create_task(_recovered(broker))
            await asyncio.to_thread(cut.wait)
            await _until(place, lambda total, _: total == 2)
            await _until(place, lambda total, _: total == 1)
            assert await broker.settle([Settlement(delivery, Acknowledge())]) == []
            await _until(place, lambda total, _: total == 0)
            lost.cancel()
            assert recovered == []

    async def _recovered(broker: RabbitBroker) -> None:
        while True:
            with contextlib.suppress(OperationalError):  # the connection is lost
                recovered.extend(await broker.recover(10))
            await asyncio.sleep(0.05)

    recovered: list[Delivery] = []
    cut = threading.Event()
    publish = Links.publish

    def publish_and_cut(links: Links, parcels: Sequence[Parcel]) -> list[Parcel]:
        returned = publish(links, parcels)
        if parcels[0].routing_key.startswith("celeriac.held.") and not cut.is_set():
            place.server.close_all_connections()
            cut.set()
        return returned

    monkeypatch.setattr(Links, "publish", publish_and_cut)
    asyncio.run(main())
