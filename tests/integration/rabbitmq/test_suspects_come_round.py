"""What was lost with a worker's connection comes round to it as a suspect, by way of another one: it runs once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.message import Delivery, Loss, Message, Publication
from celeriac.outcome import Acknowledge, Requeue, Settlement
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.topology import Topology
from conformance.cutting import Scissors
from servers.waiting import wait_until

from .conftest import Place

_DEADLINE = 30.0


@pytest.fixture
def scissors(place: Place) -> Scissors:
    return Scissors(place.server, place.vhost)


@pytest.fixture
def brokers(scissors: Scissors) -> Iterator[tuple[RabbitBroker, RabbitBroker]]:
    first, second = _broker(scissors.new_url()), _broker(scissors.new_url())
    yield first, second
    first.disconnect()
    second.disconnect()


def _broker(url: str) -> RabbitBroker:
    location = read_location(url, {}, setting="broker_url", settings=Settings())
    return RabbitBroker(location, topology=Topology([], missing_type="quorum"))


def test_it_is_not_run_again(place: Place, scissors: Scissors, brokers: tuple[RabbitBroker, RabbitBroker]) -> None:
    asyncio.run(asyncio.wait_for(_lose_and_find(place, scissors, *brokers), 2 * _DEADLINE))
    wait_until(place.is_worked_off, "all is settled")


async def _lose_and_find(place: Place, scissors: Scissors, mine: RabbitBroker, other: RabbitBroker) -> None:
    """One of the two ends before it is back, the other after that."""
    mine.publish([Publication(_message(name), "tasks") for name in ("1", "2")])
    async with _opened(mine, "mine"), _opened(other, "other"):
        deliveries: list[Delivery] = []
        while len(deliveries) < 2:
            deliveries += await mine.reserve(["tasks"], 2 - len(deliveries), _DEADLINE)
        await _move_to_suspects(place, scissors, other)
        assert await mine.settle([Settlement(deliveries[0], Acknowledge())]) == []
        again = asyncio.create_task(mine.reserve(["tasks"], 2, _DEADLINE))
        await asyncio.to_thread(
            wait_until, lambda: _in_suspects(place) == (0, 1), "one is settled, the other is in hand"
        )
        assert await mine.settle([Settlement(deliveries[1], Acknowledge())]) == []
        await asyncio.to_thread(wait_until, place.is_worked_off, "both are settled")
        assert not again.done()
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


def _in_suspects(place: Place) -> tuple[int, int]:
    state = place.queues()["celeriac.suspects.tasks"]
    return state.ready, state.unacknowledged


def _message(name: str) -> Message:
    return Message({"id": name, "task": "t"}, {"correlation_id": name}, b"[]")


async def _move_to_suspects(place: Place, scissors: Scissors, other: RabbitBroker) -> None:
    """Cut the first one's connection; the other takes over what it held."""
    waiting = asyncio.create_task(other.reserve(["tasks"], 2, _DEADLINE))
    await asyncio.to_thread(wait_until, lambda: place.queues()["tasks"].consumers == 2, "both consume")
    await asyncio.to_thread(scissors.cut, ("mine",))
    lost: list[Delivery] = []
    while len(lost) < 2:
        lost += await other.recover(2)
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await other.settle([Settlement(one, Requeue(loss=Loss(0.0, "mine", "gone"))) for one in lost])
    await asyncio.to_thread(scissors.let_back, ("mine",))


@contextlib.asynccontextmanager
async def _opened(broker: RabbitBroker, owner: str) -> AsyncIterator[None]:
    await broker.open(owner, lease_seconds=10.0)
    try:
        yield
    finally:
        await broker.close()
