"""What a session can not publish for now is not forgotten, and what it is publishing is not published twice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.brokers.rabbitmq.publishing import Publisher
from celeriac.outcome import Acknowledge, Requeue, Settlement
from celeriac.storage.rabbitmq.links import Parcel

from .conftest import Place
from .session_support import (
    DEADLINE,
    cut,
    ids,
    message,
    new_broker,
    opened,
    publication,
    session_of,
    take,
    until,
)

_IMPATIENT = {"confirm_timeout": 1.0}


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 3 * DEADLINE))


@asynccontextmanager
async def _alarm(place: Place) -> AsyncIterator[None]:
    """The server takes no messages."""
    await asyncio.to_thread(place.server.memory_alarm, True)
    try:
        yield
    finally:
        await asyncio.to_thread(place.server.memory_alarm, False)


async def _here(broker: RabbitBroker, count: int) -> None:
    """So many have come, and were not given out."""
    await _become(lambda: session_of(broker).waiting("tasks") == count)


async def _become(condition: Callable[[], bool]) -> None:
    """It becomes true in this loop."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


def test_what_nobody_asks_for_is_not_lost_while_nothing_can_be_published(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place, options=_IMPATIENT)) as broker:
            broker.publish([publication(str(n)) for n in range(4)])
            first = await take(broker, 4)
            await broker.settle([Settlement(one, Acknowledge()) for one in first])
            broker.publish([publication(f"x{n}") for n in range(4)])
            await _here(broker, 4)
            async with _alarm(place):
                session = session_of(broker)
                await _become(lambda: bool(session._unwanted))
                await _become(lambda: not any(held.writing for held in session._holdings._held.values()))
                assert session.waiting("tasks") == 4
            assert sorted(ids(await take(broker, 4))) == ["x0", "x1", "x2", "x3"]

    _run(run())


def test_the_outcome_of_an_orphan_is_written_when_it_can_be(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place, options=_IMPATIENT)) as broker:
            broker.publish([publication("a"), publication("z", "next")])
            [delivery] = await take(broker, 1)
            await cut(broker)
            follow_up = (publication("f", "next"),)
            assert await broker.settle([Settlement(delivery, Acknowledge(), None, follow_up)]) == []
            held = session_of(broker)._holdings.find(delivery)
            assert held is not None
            async with _alarm(place):
                await _become(lambda: held.writing)
                await _become(lambda: not held.writing)
            await until(lambda: place.queues()["tasks"].unacknowledged == 0, "it is settled")
            assert place.queues()["tasks"].ready == 0
            assert place.queues()["next"].ready == 2

    _run(run())


class _Gate:
    """Publishing waits before it until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._opened = threading.Event()
        self._reached = threading.Event()
        send = Publisher.send

        def wait_and_send(publisher: Publisher, parcels: Sequence[Parcel]) -> None:
            self._reached.set()
            assert self._opened.wait(DEADLINE)
            send(publisher, parcels)

        monkeypatch.setattr(Publisher, "send", wait_and_send)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, DEADLINE)

    def open(self) -> None:
        self._opened.set()


def test_an_outcome_whose_caller_has_gone_is_written_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            broker.publish([publication("a")])
            [delivery] = await take(broker, 1)
            gate = _Gate(monkeypatch)
            retry = Settlement(delivery, Requeue(message=message("a, again")))
            settling = asyncio.create_task(broker.settle([retry]))
            await gate.reached()
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)
            closing = asyncio.create_task(broker.close())
            await asyncio.sleep(0)  # it has begun
            gate.open()
            await closing
        await until(lambda: place.queues()["tasks"].unacknowledged == 0, "the worker is gone")
        assert place.queues()["tasks"].ready == 1

    _run(run())


def test_what_the_session_gives_back_as_it_is_closed_is_there_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            broker.publish([publication(str(n)) for n in range(4)])
            first = await take(broker, 4)
            await broker.settle([Settlement(one, Acknowledge()) for one in first])
            broker.publish([publication(f"x{n}") for n in range(4)])
            await _here(broker, 4)
            gate = _Gate(monkeypatch)
            await gate.reached()  # by the session, since nobody asks for them
            closing = asyncio.create_task(broker.close())
            await asyncio.sleep(0)
            gate.open()
            await closing
        await until(lambda: place.queues()["tasks"].unacknowledged == 0, "the worker is gone")
        assert place.queues()["tasks"].ready == 4

    _run(run())


async def _bring_early(broker: RabbitBroker, seconds: float) -> asyncio.Task[Any]:
    """A message that is not quite due comes to who asks; that it is there, is seen."""
    asking = asyncio.create_task(broker.reserve(["tasks"], 1, DEADLINE))
    feeds = session_of(broker)._inflow.feeds
    await _become(lambda: "tasks" in feeds and bool(feeds["tasks"].tags))
    await broker.apublish([publication("early", not_before=time.time() + seconds)])
    await _here(broker, 1)
    return asking


def test_what_is_not_quite_due_is_given_back_at_the_end(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            asking = await _bring_early(broker, 0.95)
            await broker.close()
            assert await asking == []
        async with opened(new_broker(place), "other") as other:
            [delivery] = await take(other, 1)
            assert delivery.lost_by is None
            assert await other.recover(1) == []

    _run(run())


def test_what_is_due_while_nobody_asks_goes_to_another_worker(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place)) as broker, opened(new_broker(place), "other") as other:
            asking = await _bring_early(broker, 0.95)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert ids(await take(other, 1)) == ["early"]

    _run(run())


def test_purging_takes_what_is_not_quite_due(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            asking = await _bring_early(broker, 0.95)
            assert await broker.purge("tasks") == 1
            await until(place.is_worked_off, "it is gone")
            assert not asking.done()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    _run(run())
