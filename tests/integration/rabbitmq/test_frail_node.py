"""Publishing to a node that dies, is started again, or is told to take no large messages."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.message import Message, Publication

from .conftest import Place, largest_message
from .links_support import MAYBE, TIMEOUT, bodies, fails, job, linked, make_broker, parcel


def test_a_message_larger_than_the_server_takes(frail: Place) -> None:
    with largest_message(frail.server, 1000), linked(frail.url) as links:
        with pytest.raises(StoreRefused, match="larger than configured max size"):
            links.publish([parcel(body=bytes(1001))])
        links.publish([parcel(body=bytes(1000))])


def test_a_restarted_server_is_not_noticed_by_the_next_call(frail: Place) -> None:
    server = frail.server
    with linked(frail.url) as links:
        links.publish([parcel(body=b"1")])
        server.stop()
        with pytest.raises(OperationalError, match="start the server") as caught:
            links.publish([parcel(body=b"lost")])
        assert MAYBE not in str(caught.value)
        server.restart()
        links.publish([parcel(body=b"2")])
        assert server.close_all_connections() >= 1
        links.publish([parcel(body=b"3")])
        server.stop_app()
        server.start_app()
        links.publish([parcel(body=b"4")])
        assert bodies(links) == [b"1", b"2", b"3", b"4"]


def test_a_server_that_is_started_again_is_tried_again(frail: Place) -> None:
    with linked(frail.url, timeout=TIMEOUT) as links:
        frail.server.memory_alarm(True)
        fails(links)
        frail.server.kill()
        frail.server.restart()
        links.publish([parcel(body=b"next")])
        assert bodies(links) == [b"next"]


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
