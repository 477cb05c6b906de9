"""Dead letters, where connections are few and other programs write there as well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import amqp
import pytest

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.message import Message, Publication
from celeriac.outcome import Bury, Settlement
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.topology import Topology

from .conftest import Place

_DEADLINE = 30.0


@contextlib.asynccontextmanager
async def _opened(place: Place, **settings: Any) -> AsyncIterator[RabbitBroker]:
    location = read_location(place.url, {}, setting="broker_url", settings=Settings(**settings))
    broker = RabbitBroker(location, topology=Topology([]))
    try:
        await broker.open("w", lease_seconds=10.0)
        yield broker
    finally:
        await broker.close()
        broker.disconnect()


def _put(place: Place, **headers: object) -> None:
    connection = amqp.Connection(f"127.0.0.1:{place.server.port}", virtual_host=place.vhost)
    connection.connect()
    with contextlib.closing(connection):
        connection.channel().basic_publish(amqp.Message(b"x", application_headers=headers), "celeriac.dead", "")


def test_dead_letters_are_requeued_over_the_only_connection_there_may_be(place: Place) -> None:
    async def main() -> None:
        async with asyncio.timeout(_DEADLINE), _opened(place, broker_pool_limit=1) as broker:
            message = Message({"id": "d", "task": "t"}, {}, b"[[], {}, {}]")
            broker.publish([Publication(message, "tasks")] * 3)
            for _ in range(3):
                (taken,) = await broker.reserve(["tasks"], 1, _DEADLINE)
                await broker.settle([Settlement(taken, Bury("bad"))])
            letters = await broker.dead_letters()
            assert await broker.requeue_dead_letters([letter.tag for letter in letters[:2]]) == 2
            assert await broker.depth("tasks") == 2
            assert [letter.tag for letter in await broker.dead_letters()] == [letters[2].tag]

    asyncio.run(main())


@pytest.mark.parametrize("died", ["abc", [1], {"a": 1}, "nan", "inf", None, True])
def test_a_time_of_death_that_is_none_hides_no_dead_letter(place: Place, died: object) -> None:
    async def main() -> None:
        async with _opened(place) as broker:
            assert await broker.dead_letters() == []
            await asyncio.to_thread(_put, place, **{"x-celeriac-died-at": died})
            (letter,) = await broker.dead_letters()
            assert letter.at in {0.0, 1.0}

    asyncio.run(main())
