"""Publishing from many coroutines at once."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.brokers import open_broker
from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.exceptions import OperationalError
from celeriac.message import Message, Publication
from servers.rabbitmq import RabbitServer
from servers.tcp_proxy import TcpProxy

from .conftest import Place, largest_message


def job(name: object, queue: str = "q") -> Publication:
    """A message of this name."""
    return Publication(Message({"task": "t", "id": str(name)}, {}, b"[]"), queue)


def make_broker(url: str) -> RabbitBroker:
    """A broker at `url`."""
    broker = open_broker(url, settings=Settings())
    assert isinstance(broker, RabbitBroker)
    return broker


def test_hundreds_of_coroutines_share_trips_and_all_is_stored(rabbit_url: str) -> None:
    broker = make_broker(rabbit_url)

    async def main() -> int:
        await asyncio.gather(*(broker.apublish([job(n)]) for n in range(600)))
        return await broker.depth("q")

    try:
        assert asyncio.run(main()) == 600
        assert asyncio.run(main()) == 1200  # another loop
    finally:
        broker.disconnect()


def test_a_cancelled_call_harms_no_other(rabbit_url: str) -> None:
    broker = make_broker(rabbit_url)

    async def main() -> int:
        calls = [asyncio.create_task(broker.apublish([job(n)])) for n in range(20)]
        await asyncio.sleep(0)
        calls[3].cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [3]
        return await broker.depth("q")

    try:
        assert asyncio.run(main()) in {19, 20}
    finally:
        broker.disconnect()


def test_all_callers_of_a_trip_hear_what_went_wrong(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with TcpProxy(rabbit_server.port) as proxy:
        broker = make_broker(rabbit_url.replace(f":{rabbit_server.port}/", f":{proxy.port}/"))

        async def main() -> None:
            await broker.apublish([job("before")])
            proxy.refuse()
            proxy.cut()
            outcomes = await asyncio.gather(*(broker.apublish([job(n)]) for n in range(5)), return_exceptions=True)
            assert all(isinstance(outcome, OperationalError) for outcome in outcomes)

        try:
            asyncio.run(main())
        finally:
            broker.disconnect()
            proxy.admit()


def test_one_that_no_queue_takes_fails_alone(rabbit_url: str) -> None:
    broker = make_broker(rabbit_url)
    lost = Publication(Message({"id": "x"}, {}, b""), "", exchange="amq.topic", routing_key="nobody", mandatory=True)

    async def main() -> None:
        outcomes = await asyncio.gather(
            broker.apublish([job(1)]), broker.apublish([lost]), broker.apublish([job(2)]), return_exceptions=True
        )
        assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "StoreRefused", "NoneType"]
        assert await broker.depth("q") == 2

    try:
        asyncio.run(main())
    finally:
        broker.disconnect()


@pytest.mark.parametrize("size", [100_000, 2_000_000])
def test_one_that_the_server_finds_too_large_fails_alone(frail: Place, size: int) -> None:
    """Be it so small that it shares a trip with the others, or not."""
    broker = make_broker(frail.url)
    large = Publication(Message({"task": "t", "id": "large"}, {}, b"x" * size), "q")

    async def main() -> None:
        calls = [job(1), job(2), large, job(3), job(4)]
        outcomes = await asyncio.gather(*(broker.apublish([one]) for one in calls), return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes] == [
            *["NoneType"] * 2,
            "StoreRefused",
            *["NoneType"] * 2,
        ]
        assert await broker.depth("q") >= 4

    try:
        with largest_message(frail.server, size - 1):
            asyncio.run(main())
    finally:
        broker.disconnect()


def test_what_travels_alone_is_sent_once_and_so_are_the_others(frail: Place) -> None:
    broker = make_broker(frail.url)
    large = Publication(Message({"task": "t", "id": "large"}, {}, b"x" * 2_000_000), "q")

    async def main() -> None:
        calls = [job(1), large, job(2), job(3)]
        await asyncio.gather(*(broker.apublish([one]) for one in calls), return_exceptions=True)
        assert await broker.depth("q") == 3

    try:
        with largest_message(frail.server, 1_000_000):
            asyncio.run(main())
    finally:
        broker.disconnect()


@pytest.mark.parametrize("count", [1, 300])
def test_what_is_sent_together_stays_in_order(rabbit_url: str, count: int) -> None:
    broker = make_broker(rabbit_url)

    async def main() -> list[str]:
        await asyncio.gather(*(broker.apublish([job(n)]) for n in range(count)))
        await broker.open("w", lease_seconds=10)
        try:
            taken = await broker.reserve(["q"], count, 0)
            return [delivery.message.headers["id"] for delivery in taken]
        finally:
            await broker.close()

    try:
        assert asyncio.run(main()) == [str(n) for n in range(count)]
    finally:
        broker.disconnect()
