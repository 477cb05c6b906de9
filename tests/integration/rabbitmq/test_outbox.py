"""Publishing from many coroutines at once."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.exceptions import OperationalError
from celeriac.message import Message, Publication
from servers.rabbitmq import RabbitServer
from servers.tcp_proxy import TcpProxy

from .links_support import job, make_broker


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
