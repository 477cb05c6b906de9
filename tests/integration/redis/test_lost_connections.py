"""A connection that is lost while a script runs: what was done is not done twice, and nothing is forgotten.

Each case is run with the request lost (the server never sees it) and with the reply lost (the server has executed it).
The caller sees the same error in both and does the same: it calls again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from celeriac.brokers.base import Broker
from celeriac.brokers.redis import scripts
from celeriac.message import Delivery, Loss
from celeriac.outcome import Acknowledge, Bury, Keep, Requeue, Settlement
from celeriac.testing.conformance.support import finish, in_loop, job, names, success, take
from servers.proxy import Point, RedisProxy
from servers.redis import RedisServer

from .support import (
    PATIENCE,
    backend_at,
    broker_at,
    fails_in_time,
    lease_ends,
    load_scripts,
    refused_names,
    runs,
    take_all,
    try_on,
    worker_at,
)

either_way = pytest.mark.parametrize("point", [Point.CUT_BEFORE, Point.CUT_AFTER], ids=["request", "reply"])

# A segment that is sent again after a partition can reach the server after what was sent later on a new connection.


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str) -> Iterator[RedisProxy]:
    load_scripts(redis_server)
    with RedisProxy(redis_server.port) as running:
        yield running


async def publish(url: str, *wanted: object, queue: str = "q") -> None:
    with broker_at(url) as producer:
        await producer.apublish([job(name, queue) for name in wanted])


async def nothing_is_held(broker: Broker, server: RedisServer) -> None:
    assert server.call("KEYS", "celeriac:held:*") == []
    assert await broker.recover(100) == []


@either_way
@in_loop
async def test_settling_again_writes_everything_once(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str, point: Point
) -> None:
    await publish(redis_url, *range(6))
    async with worker_at(proxy.url()) as broker:
        held = await take_all(broker, 6)
        settlements = [
            Settlement(held[0], Acknowledge(), success("0"), (job("followed", "next"), job("more", "next"))),
            Settlement(held[1], Acknowledge(), success("1")),
            Settlement(held[2], Acknowledge()),
            Settlement(held[3], Bury("it is bad")),
            Settlement(held[4], Requeue(loss=Loss(1.0, "worker", "killed")), None, (job("third", "next"),)),
            Settlement(held[5], Keep(), success("5"), (job("unfenced", "next"),), fenced=False),
        ]
        lost = proxy.at(runs(scripts.SETTLE), point)
        await fails_in_time(broker.settle(settlements))
        lost.wait()
        assert refused_names(await broker.settle(settlements)) == []
        assert await broker.depth("next") == 4
        assert await broker.depth("q") == 1
        assert len(await broker.dead_letters()) == 1
        (again,) = await take(broker)
        assert [loss.reason for loss in again.history] == ["killed"]
        await finish(broker, [again, held[5]])
        await nothing_is_held(broker, redis_server)
    with backend_at(redis_url) as backend:
        assert [backend.load(name) for name in "015"] == [success(name) for name in "015"]


@either_way
@in_loop
async def test_two_batches_at_once_are_both_known_again(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str, point: Point
) -> None:
    await publish(redis_url, *range(4))
    async with worker_at(proxy.url()) as broker:
        held = await take_all(broker, 4)
        batches = [
            [Settlement(one, Acknowledge(), None, (job("followed", "next"),)) for one in held[:2]],
            [Settlement(one, Acknowledge(), None, (job("followed", "next"),)) for one in held[2:]],
        ]
        lost = proxy.at(runs(scripts.SETTLE), point)
        first, second = await asyncio.gather(*map(broker.settle, batches), return_exceptions=True)
        lost.wait()
        for batch, answer in zip(batches, (first, second), strict=True):
            if isinstance(answer, BaseException):
                assert refused_names(await broker.settle(batch)) == []
            else:
                assert refused_names(answer) == []
        assert await broker.depth("next") == 4
        await nothing_is_held(broker, redis_server)


@in_loop
async def test_another_batch_in_between_does_not_make_the_first_look_taken_over(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str
) -> None:
    await publish(redis_url, *range(3))
    async with worker_at(proxy.url()) as broker:
        held = await take_all(broker, 3)
        first = [Settlement(one, Acknowledge(), None, (job("followed", "next"),)) for one in held[:2]]
        lost = proxy.at(runs(scripts.SETTLE), Point.CUT_AFTER)
        await fails_in_time(broker.settle(first))
        lost.wait()
        assert refused_names(await finish(broker, held[2:])) == []
        assert refused_names(await broker.settle(first)) == []
        assert await broker.depth("next") == 2
        await nothing_is_held(broker, redis_server)


@in_loop
async def test_a_batch_that_was_partly_refused_tells_so_when_it_is_given_again(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str
) -> None:
    await publish(redis_url, *range(3))
    async with worker_at(proxy.url()) as broker:
        held = await take_all(broker, 3)
        await finish(broker, held[1:2])
        lost = proxy.at(runs(scripts.SETTLE), Point.CUT_AFTER)
        batch = [Settlement(one, Acknowledge(), None, (job("followed", "next"),)) for one in held]
        await fails_in_time(broker.settle(batch))
        lost.wait()
        assert refused_names(await broker.settle(batch)) == ["1"]
        assert await broker.depth("next") == 2


@pytest.mark.parametrize("size", [1, 100, 20_000])
@in_loop
async def test_a_settlement_that_is_cut_in_its_middle_is_written_once(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str, size: int
) -> None:
    await publish(redis_url, *range(10))
    async with worker_at(proxy.url()) as broker:
        held = await take_all(broker, 10)
        body = b"x" * 5000
        batch = [Settlement(one, Acknowledge(), None, (job("followed", "next", body=body),)) for one in held]
        while len(redis_server.call("PUBSUB", "CHANNELS")) < 2:  # what wakes the worker is not to be what is cut
            await asyncio.sleep(0.01)
        lost = proxy.cut_after(size, "requests")
        await fails_in_time(broker.settle(batch))
        lost.wait()
        assert await broker.depth("next") == 0
        assert refused_names(await broker.settle(batch)) == []
        assert await broker.depth("next") == 10
        await nothing_is_held(broker, redis_server)


@either_way
@in_loop
async def test_what_was_reserved_for_a_lost_reply_comes_again(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str, point: Point
) -> None:
    await publish(redis_url, *range(20))
    async with worker_at(proxy.url()) as broker:
        lost = proxy.at(runs(scripts.RESERVE), point)
        await fails_in_time(broker.reserve(("q",), 20, 0))
        lost.wait()
        held = await take_all(broker, 20)
        assert sorted(map(int, names(held))) == list(range(20))
        assert not any(one.history for one in held)
        assert refused_names(await finish(broker, held)) == []
        await nothing_is_held(broker, redis_server)


@in_loop
async def test_a_reply_with_messages_that_is_cut_in_its_middle(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str
) -> None:
    with broker_at(redis_url) as producer:
        await producer.apublish([job(name, body=b"x" * 5000) for name in range(20)])
    async with worker_at(proxy.url()) as broker:
        await broker.depth("q")
        lost = proxy.cut_after(30_000, "replies")
        await fails_in_time(broker.reserve(("q",), 20, 0))
        lost.wait()
        held = await take_all(broker, 20)
        assert sorted(map(int, names(held))) == list(range(20))
        assert refused_names(await finish(broker, held)) == []
        await nothing_is_held(broker, redis_server)


@either_way
@in_loop
async def test_a_publication_is_stored_whole_or_not_at_all(proxy: RedisProxy, redis_url: str, point: Point) -> None:
    with broker_at(proxy.url()) as broker:
        await broker.apublish([job("first")])
        lost = proxy.at(runs(scripts.PUBLISH), point)
        await fails_in_time(
            broker.apublish([job(number, not_before=9e9 if number % 2 else None) for number in range(10)])
        )
        lost.wait()
        assert await broker.depth("q") == (11 if point is Point.CUT_AFTER else 1)


@either_way
@in_loop
async def test_giving_back_again_gives_back_once(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str, point: Point
) -> None:
    await publish(redis_url, *range(5))
    async with worker_at(proxy.url()) as broker:
        held = await take_all(broker, 5)
        lost = proxy.at(runs(scripts.RELEASE), point)
        await fails_in_time(broker.release(held))
        lost.wait()
        await broker.release(held)
        assert await broker.depth("q") == 5
        assert names(await take(broker)) == ["0", "1", "2", "3", "4"]


@either_way
@in_loop
async def test_marks_and_renewals_can_be_repeated(proxy: RedisProxy, redis_url: str, point: Point) -> None:
    await publish(redis_url, "a")
    async with worker_at(proxy.url()) as broker:
        held = await take_all(broker, 1)
        lost = proxy.at(runs(scripts.MARK_STARTED), point)
        await fails_in_time(broker.mark_started(held))
        lost.wait()
        assert await broker.mark_started(held) == []
        lost = proxy.at(runs(scripts.RENEW), point)
        await fails_in_time(broker.renew())
        lost.wait()
        assert await broker.renew()
        assert refused_names(await finish(broker, held)) == []


@either_way
@in_loop
async def test_a_lease_whose_reply_was_lost_is_one_s_own(proxy: RedisProxy, point: Point) -> None:
    with broker_at(proxy.url()) as broker:
        lost = proxy.at(runs(scripts.OPEN), point)
        await fails_in_time(broker.open("worker", lease_seconds=30))
        lost.wait()
        await broker.open("worker", lease_seconds=30)
        assert await broker.renew()
        await broker.close()


@either_way
@in_loop
async def test_what_was_taken_over_for_a_lost_reply_is_not_forgotten(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str, point: Point
) -> None:
    await publish(redis_url, *range(5))
    with broker_at(redis_url) as dead:
        await dead.open("dead", lease_seconds=0.1)
        assert len(await take(dead)) == 5
        async with worker_at(proxy.url()) as broker:
            await lease_ends(redis_server, "dead")
            lost = proxy.at(runs(scripts.RECOVER), point)
            await fails_in_time(broker.recover(100))
            lost.wait()
            recovered: list[Delivery] = []
            async with asyncio.timeout(PATIENCE):
                while len(recovered) < 5:
                    recovered += await try_on(lambda: broker.recover(100)) + await try_on(lambda: take(broker))
            assert sorted(names(recovered)) == list("01234")
            assert refused_names(await finish(broker, recovered)) == []
            await nothing_is_held(broker, redis_server)


@in_loop
async def test_a_worker_that_waits_hears_of_work_after_its_connections_were_cut(
    proxy: RedisProxy, redis_url: str
) -> None:
    async with worker_at(proxy.url()) as broker:
        for name in range(3):
            waiting = asyncio.create_task(take_all(broker, 1))
            while not waiting.done() and not proxy.cut():  # as soon as there are connections to cut
                await asyncio.sleep(0.01)
            await publish(redis_url, name)
            held = await waiting
            assert names(held) == [str(name)]
            await finish(broker, held)


@in_loop
async def test_a_reservation_that_the_server_executes_late_takes_nothing_away(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str
) -> None:
    await publish(redis_url, *range(20))
    async with worker_at(proxy.url()) as broker:
        late = proxy.at(runs(scripts.RESERVE), Point.DELAY)
        await fails_in_time(broker.reserve(("q",), 5, 0))
        late.wait()
        held = await take_all(broker, 5)
        await asyncio.to_thread(late.let_go)
        held += await take_all(broker, 15)
        assert sorted(map(int, names(held))) == list(range(20))
        assert refused_names(await finish(broker, held)) == []
        await nothing_is_held(broker, redis_server)


@in_loop
async def test_a_settlement_that_the_server_executes_late_is_written_once(
    proxy: RedisProxy, redis_server: RedisServer, redis_url: str
) -> None:
    await publish(redis_url, *range(4))
    async with worker_at(proxy.url()) as broker:
        held = await take_all(broker, 4)
        follow_ups = (job("followed", "next"),)
        batch = [Settlement(one, Acknowledge(), None, follow_ups) for one in held[:3]]
        batch.append(Settlement(held[3], Keep(), None, follow_ups, fenced=False))
        late = proxy.at(runs(scripts.SETTLE), Point.DELAY)
        await fails_in_time(broker.settle(batch))
        late.wait()
        assert refused_names(await broker.settle(batch)) == []
        await asyncio.to_thread(late.let_go)
        assert await broker.depth("next") == 4
        await finish(broker, held[3:])
        await nothing_is_held(broker, redis_server)
