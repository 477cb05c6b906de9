"""Of settlements that are given together, one that the server does not take harms none of the others."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.brokers.batches import PartlySettled
from celeriac.entities import Exchange, Queue
from celeriac.exceptions import StoreRefused
from celeriac.message import Delivery, Publication
from celeriac.outcome import Acknowledge, Settlement

from .conftest import Place
from .session_support import DEADLINE, message, new_broker, opened, publication, take, until

_FULL = Queue("full", Exchange(""), queue_arguments={"x-max-length": 1, "x-overflow": "reject-publish"})


def _settled(delivery: Delivery, *follow_ups: Publication) -> Settlement:
    return Settlement(delivery, Acknowledge(), None, follow_ups)


def test_a_missing_exchange_is_final_for_one_settlement(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            broker.publish([publication("1"), publication("2"), publication("3")])
            first, second, third = await take(broker, 3)
            typo = Publication(message("x"), "tasks", exchange="typo", routing_key="k", mandatory=True)
            batch = [
                _settled(first, publication("a", "next")),
                _settled(second, typo),
                _settled(third, publication("b", "next")),
            ]
            for _ in range(2):
                with pytest.raises(StoreRefused, match="no exchange 'typo'"):
                    await broker.settle(batch)
            assert await broker.settle([batch[0]]) == []  # written, and known to be
            assert await broker.settle([batch[2]]) == []
            with pytest.raises(StoreRefused, match="no exchange 'typo'"):
                await broker.settle([batch[1]])
            assert place.queues()["next"].ready == 2
            await until(lambda: place.queues()["tasks"].unacknowledged == 1, "the others are acknowledged")

    asyncio.run(asyncio.wait_for(run(), 2 * DEADLINE))


def test_a_full_queue_fails_only_what_is_sent_to_it(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place, [_FULL])) as broker:
            broker.publish([publication("fills it", "full")])
            broker.publish([publication("1"), publication("2")])
            first, second = await take(broker, 2)
            batch = [
                _settled(first, publication("a", "next")),
                _settled(second, publication("b", "next"), publication("c", "full")),
            ]
            with pytest.raises(PartlySettled, match="a queue is full"):
                await broker.settle(batch)
            with pytest.raises(PartlySettled, match="a queue is full") as caught:
                await broker.settle(batch)
            assert [one.delivery for one in caught.value.left] == [second]
            assert place.queues()["next"].ready == 2
            [held] = await take(broker, 1, ["full"])
            await broker.settle([_settled(held)])
            assert await broker.settle(list(caught.value.left)) == []
            assert place.queues()["next"].ready == 2
            await until(lambda: place.queues()["full"].ready == 1, "the last one has come")

    asyncio.run(asyncio.wait_for(run(), 2 * DEADLINE))


def test_what_is_too_large_fails_alone(place: Place) -> None:
    place.server.eval("application:set_env(rabbit, max_message_size, 1000000)")

    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            broker.publish([publication("1"), publication("2")])
            first, second = await take(broker, 2)
            large = Publication(message("large", b"x" * 2_000_000), "next")
            batch = [_settled(first, publication("a", "next")), _settled(second, large)]
            for given in (batch, batch[1:]):
                with pytest.raises(StoreRefused, match="larger"):
                    await broker.settle(given)
            assert await broker.settle(batch[:1]) == []
            assert place.queues()["next"].ready == 1

    try:
        asyncio.run(asyncio.wait_for(run(), 2 * DEADLINE))
    finally:
        place.server.eval("application:set_env(rabbit, max_message_size, 134217728)")
