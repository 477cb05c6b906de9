"""Follow-ups that are handed on in the settlement's own trip: what goes to whom, and that none is ever lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from celeriac.brokers.base import Broker
from celeriac.brokers.redis import scripts
from celeriac.message import Delivery, Publication
from celeriac.outcome import Acknowledge, Settlement
from celeriac.storage.redis.envelope import LOSSES_HEADER
from celeriac.testing.conformance.support import finish, in_loop, job, names, take
from servers.proxy import Point, RedisProxy
from servers.redis import RedisServer

from .support import PATIENCE, fails_in_time, lease_ends, load_scripts, runs, take_all, try_on, worker_at

#: More than a call of `reserve` that is handed something ever waits.
LONG = 30.0


@asynccontextmanager
async def waiting(broker: Broker, limit: int = 10, *queues: str) -> AsyncIterator[asyncio.Task[list[Delivery]]]:
    """A call of `reserve` that has found nothing and sleeps."""
    call = asyncio.create_task(broker.reserve(queues or ("q",), limit, LONG))
    async with asyncio.timeout(PATIENCE):
        while not await _sleeps(broker):
            await asyncio.sleep(0)
    yield call
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def _sleeps(broker: Broker) -> bool:
    return bool(broker._session._empty)  # type: ignore[attr-defined]


def sends(delivery: Delivery, *wanted: str, queue: str = "q") -> Settlement:
    return Settlement(delivery, Acknowledge(), None, tuple(job(name, queue) for name in wanted))


async def got(call: asyncio.Task[list[Delivery]]) -> list[Delivery]:
    async with asyncio.timeout(PATIENCE):
        return await call


def sent_anew(name: str) -> Publication:
    """A message as it was taken, lost once before, and sent to another queue."""
    publication = job(name, "q")
    publication.message.headers[LOSSES_HEADER] = [{"at": 1.0, "worker": "w", "reason": "killed"}]
    publication.message.properties["delivery_info"] = {"exchange": "x", "routing_key": "other", "redelivered": True}
    return publication


@in_loop
async def test_what_is_handed_on_is_as_the_queue_would_give_it(redis_url: str) -> None:
    async with worker_at(redis_url) as broker:
        await broker.apublish([job("first", "q"), sent_anew("queued")])
        first, queued = await take_all(broker, 2)
        async with waiting(broker) as call:
            assert await broker.settle([Settlement(first, Acknowledge(), None, (sent_anew("handed"),))]) == []
            (handed,) = await got(call)
        for one in (queued, handed):
            assert LOSSES_HEADER not in one.message.headers
            assert one.message.properties["delivery_info"] == {"exchange": "", "routing_key": "q"}
        assert handed.message.properties.keys() == queued.message.properties.keys()
        assert (handed.priority, handed.history) == (queued.priority, queued.history)


@in_loop
async def test_what_is_sent_to_an_empty_queue_comes_to_who_waits_there(redis_url: str) -> None:
    async with worker_at(redis_url) as broker:
        await broker.apublish([job("first", "q")])
        (first,) = await take(broker)
        async with waiting(broker) as call:
            assert await broker.settle([sends(first, "second")]) == []
            handed = await got(call)
            assert names(handed) == ["second"]
            assert await broker.depth("q") == 0
            assert await finish(broker, handed) == []


@in_loop
async def test_no_more_than_the_call_takes(redis_url: str) -> None:
    async with worker_at(redis_url) as broker, worker_at(redis_url, "other") as other:
        await broker.apublish([job("first", "q")])
        (first,) = await take(broker)
        async with waiting(broker, 2) as call:
            assert await broker.settle([sends(first, "a", "b", "c", "d")]) == []
            assert names(await got(call)) == ["a", "b"]
            assert names(await take_all(other, 2)) == ["c", "d"]


@in_loop
async def test_what_was_handed_on_is_recovered_from_a_dead_worker(redis_server: RedisServer, redis_url: str) -> None:
    async with worker_at(redis_url, "dead", 1.0) as dead:
        await dead.apublish([job("first", "q")])
        (first,) = await take(dead)
        async with waiting(dead) as call:
            assert await dead.settle([sends(first, "second")]) == []
            assert names(await got(call)) == ["second"]
        await lease_ends(redis_server, "dead")
        async with worker_at(redis_url, "living") as living:
            recovered = await living.recover(10)
            assert names(recovered) == ["second"]
            assert recovered[0].lost_by == "dead"


@pytest.mark.parametrize("point", [Point.CUT_BEFORE, Point.CUT_AFTER], ids=["request", "reply"])
@in_loop
async def test_a_trip_whose_answer_is_lost_hands_nothing_to_nobody(
    redis_server: RedisServer, redis_url: str, point: Point
) -> None:
    load_scripts(redis_server)
    with RedisProxy(redis_server.port) as proxy:
        async with worker_at(proxy.url()) as broker, worker_at(redis_url, "other") as other:
            await broker.apublish([job("first", "q")])
            (first,) = await take(broker)
            async with waiting(broker):
                lost = proxy.at(runs(scripts.SETTLE), point)
                await fails_in_time(broker.settle([sends(first, "second")]))
                lost.wait()
            assert await try_on(lambda: broker.settle([sends(first, "second")])) == []
            await try_on(lambda: broker.reserve(["elsewhere"], 1, 0.0))  # it looks what it holds and does not know of
            assert names(await take_all(other, 1)) == ["second"]


@in_loop
async def test_what_comes_to_a_call_that_has_ended_goes_back(redis_url: str) -> None:
    async with worker_at(redis_url) as broker, worker_at(redis_url, "other") as other:
        await broker.apublish([job("first", "q")])
        (first,) = await take(broker)
        async with waiting(broker) as call:
            settling = asyncio.create_task(broker.settle([sends(first, "second")]))
            await asyncio.sleep(0)  # the trip is under way
            call.cancel()
            assert await settling == []
        assert names(await take_all(other, 1)) == ["second"]
