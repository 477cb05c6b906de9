"""What a Redis server can meet, seen through `Broker`: each fault is an error in time, and afterwards all goes on."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable

import pytest

from celeriac import Celeriac
from celeriac.brokers.base import Broker
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery
from celeriac.outcome import Acknowledge, Settlement
from celeriac.testing.conformance.support import finish, in_loop, job, names, success, take
from servers.process import free_port
from servers.redis import RedisServer

from .support import BOUND, backend_at, broker_at, fails_in_time, lease_ends, refused_names, take_all, try_on, worker_at


def results_kept(url: str, wanted: str) -> bool:
    with backend_at(url) as backend:
        return [backend.load(name) for name in wanted] == [success(name) for name in wanted]


def fill(server: RedisServer) -> None:
    """Leave the server no memory for anything new."""
    server.call("SET", "ballast", b"x" * 3_000_000)
    used = int(re.search(rb"used_memory:(\d+)", server.call("INFO", "memory"))[1])  # type: ignore[index]  # always there
    server.call("CONFIG", "SET", "maxmemory", used - 1_000_000)


def make_room(server: RedisServer) -> None:
    server.call("CONFIG", "SET", "maxmemory", 0)
    server.call("DEL", "ballast")


@in_loop
async def test_what_was_held_is_settled_after_the_server_was_killed(own_redis: RedisServer) -> None:
    url = own_redis.url()
    async with worker_at(url) as broker:
        await broker.apublish([job(name) for name in "abcd"])
        held = await take_all(broker, 2)
        settlements = [Settlement(one, Acknowledge(), success(name)) for one, name in zip(held, "ab", strict=True)]
        own_redis.kill()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: broker.settle(settlements),
            lambda: broker.reserve(("q",), 1, 5.0),
            lambda: broker.apublish([job("e")]),
            lambda: broker.release(held),
            lambda: broker.depth("q"),
            broker.renew,
        ]
        for call in calls:
            assert f"127.0.0.1:{own_redis.port}" in await fails_in_time(call())
        own_redis.restart()
        assert refused_names(await broker.settle(settlements)) == []
        assert await broker.renew()
        assert names(await take_all(broker, 2)) == ["c", "d"]
        assert results_kept(url, "ab")
        own_redis.kill()
        own_redis.restart()
        assert results_kept(url, "ab")  # what was acknowledged stays so
        assert await broker.depth("q") == 0
        assert await broker.recover(10) == []


@in_loop
async def test_a_server_that_stands_still_fails_calls_in_time(own_redis: RedisServer) -> None:
    async with worker_at(own_redis.url()) as broker:
        await broker.apublish([job(name) for name in "ab"])
        held = await take_all(broker, 2)
        batch = [Settlement(one, Acknowledge(), success(name)) for one, name in zip(held, "ab", strict=True)]
        own_redis.pause()
        try:
            assert "did not answer in time" in await fails_in_time(broker.settle(batch))
            await fails_in_time(broker.reserve(("q",), 1, 10.0))
            await fails_in_time(broker.renew())
            with broker_at(own_redis.url()) as producer:
                await asyncio.to_thread(publish_fails, producer)
        finally:
            own_redis.resume()
        # The server works off what it had received while it stood: the settlement is done by then.
        assert refused_names(await try_on(lambda: broker.settle(batch))) == []
        assert results_kept(own_redis.url(), "ab")
        assert await broker.renew()


def publish_fails(broker: Broker) -> str:
    began = time.monotonic()
    with pytest.raises(OperationalError) as caught:
        broker.publish([job("never")])
    assert time.monotonic() - began < BOUND
    return str(caught.value)


@pytest.mark.parametrize(
    "renewed_first",
    [True, False],
    ids=["renew", "recover"],
)
@in_loop
async def test_who_lives_keeps_its_tasks_when_leases_ran_out_with_the_server_away(
    own_redis: RedisServer, renewed_first: bool
) -> None:
    url = own_redis.url()
    async with worker_at(url, "holder", 0.5) as holder, worker_at(url, "finder", 0.5) as finder:
        await holder.apublish([job("a")])
        held = await take_all(holder, 1)
        own_redis.kill()
        await fails_in_time(finder.renew())
        own_redis.restart()
        await lease_ends(own_redis, "holder")
        await lease_ends(own_redis, "finder")
        # Both wait for the same connection, as the duties of a worker do.
        calls = [finder.renew(), finder.recover(10)]
        answers = await asyncio.gather(*(calls if renewed_first else reversed(calls)))
        assert [] in answers
        assert await finder.recover(10) == []
        await holder.renew()
        assert refused_names(await finish(holder, held)) == []


@in_loop
async def test_without_memory_nothing_is_published_and_all_that_frees_memory_works(own_redis: RedisServer) -> None:
    async with worker_at(own_redis.url()) as broker, worker_at(own_redis.url(), "other") as other:
        await broker.apublish([job(name) for name in "abcdef"])
        await broker.apublish([job("due", not_before=time.time() + 0.2)])
        held = await take_all(broker, 4)
        fill(own_redis)
        assert "maxmemory" in await fails_in_time(broker.apublish([job("g")]))
        assert "maxmemory" in publish_fails(broker)
        assert "maxmemory" in await fails_in_time(broker.apublish([job("g"), job("h", not_before=9e9)]))
        assert await broker.renew()
        assert await other.recover(10) == []
        assert await broker.mark_started(held) == []
        first = [Settlement(held[0], Acknowledge()), Settlement(held[1], Acknowledge(), success("b"))]
        assert refused_names(await broker.settle(first)) == []
        last = [Settlement(held[2], Acknowledge(), success("c"), (job("followed", "next"),))]
        assert refused_names(await broker.settle(last)) == []
        await broker.release(held[3:])
        more = await take_all(broker, 4)
        assert sorted(names(more)) == ["d", "due", "e", "f"]
        assert refused_names(await finish(broker, more)) == []
        make_room(own_redis)
        await broker.apublish([job("g")])
        assert names(await take(broker)) == ["g"]
        assert await broker.depth("next") == 1
    assert results_kept(own_redis.url(), "bc")


@in_loop
async def test_a_worker_that_starts_without_memory_works(own_redis: RedisServer) -> None:
    with broker_at(own_redis.url()) as producer:
        await producer.apublish([job("a")])
        fill(own_redis)
        async with worker_at(own_redis.url()) as broker:
            held = await take(broker)
            assert names(held) == ["a"]
            assert refused_names(await finish(broker, held)) == []
        make_room(own_redis)


@in_loop
async def test_results_are_read_without_memory(own_redis: RedisServer) -> None:
    with backend_at(own_redis.url()) as backend:
        backend.store([success("a")])
        fill(own_redis)
        assert backend.load("a") == success("a")
        assert await backend.aload("a") == success("a")
        assert await asyncio.to_thread(backend.wait_ready, "a", 1.0) == success("a")
        assert await backend.await_ready("a", 1.0) == success("a")
        assert await asyncio.to_thread(backend.wait_ready, "b", 0.1) is None


@in_loop
async def test_a_dead_worker_s_tasks_are_recovered_without_memory(own_redis: RedisServer) -> None:
    with broker_at(own_redis.url()) as dead:
        await dead.open("dead", lease_seconds=0.2)
        await dead.apublish([job("a")])
        await take_all(dead, 1)
        async with worker_at(own_redis.url()) as broker:
            fill(own_redis)
            recovered: list[Delivery] = []
            async with asyncio.timeout(10):
                while not recovered:
                    recovered = await broker.recover(10)
            assert names(recovered) == ["a"]
            assert refused_names(await finish(broker, recovered)) == []
            make_room(own_redis)


def test_delay_without_memory_raises_in_time_and_names_the_cure(own_redis: RedisServer) -> None:
    with Celeriac("tests", broker=own_redis.url()) as app:

        @app.task
        def noop() -> None: ...

        noop.delay()
        fill(own_redis)
        began = time.monotonic()
        with pytest.raises(OperationalError, match="maxmemory"):
            noop.delay()
        assert time.monotonic() - began < BOUND
        make_room(own_redis)
        noop.delay()
    assert own_redis.call("LLEN", "celery") == 2


@in_loop
async def test_a_replica_is_left_alone_until_it_is_master_again(own_redis: RedisServer) -> None:
    async with worker_at(own_redis.url()) as broker:
        await broker.apublish([job(name) for name in "ab"])
        held = await take_all(broker, 1)
        own_redis.call("CONFIG", "SET", "replica-serve-stale-data", "yes")
        own_redis.call("REPLICAOF", "127.0.0.1", free_port())  # nobody is there: it keeps what it has
        assert "is a replica" in await fails_in_time(broker.apublish([job("c")]))
        assert "is a replica" in await fails_in_time(finish(broker, held))
        assert "is a replica" in await fails_in_time(broker.renew())
        assert "is a replica" in await fails_in_time(broker.reserve(("q",), 1, 5.0))
        own_redis.call("REPLICAOF", "NO", "ONE")
        assert refused_names(await finish(broker, held)) == []
        assert await broker.renew()
        assert names(await take(broker)) == ["b"]


@in_loop
async def test_a_server_that_has_forgotten_everything_is_worked_with(own_redis: RedisServer) -> None:
    async with worker_at(own_redis.url()) as broker:
        await broker.apublish([job(name) for name in "abc"])
        held = await take_all(broker, 2)
        waiting = asyncio.create_task(broker.reserve(("elsewhere",), 1, 20.0))
        own_redis.call("FLUSHALL")
        own_redis.call("SCRIPT", "FLUSH")
        assert refused_names(await finish(broker, held)) == ["a", "b"]  # nobody can say who has them
        assert await broker.mark_started(held) == held
        await broker.release(held)
        await broker.renew()
        assert await broker.renew()
        await broker.apublish([job("d"), job("e", "elsewhere")])
        again = await take(broker)
        assert names(again) == ["d"]
        assert refused_names(await finish(broker, again)) == []
        assert names(await waiting) == ["e"]


@in_loop
async def test_scripts_that_are_forgotten_are_sent_again(redis_server: RedisServer, redis_url: str) -> None:
    async with worker_at(redis_url) as broker:
        for _ in range(2):
            redis_server.call("SCRIPT", "FLUSH")
            await broker.apublish([job("a"), job("later", not_before=9e9)])
            held = await take(broker)
            redis_server.call("SCRIPT", "FLUSH")
            assert await broker.mark_started(held) == []
            assert await broker.renew()
            assert await broker.recover(10) == []
            assert refused_names(await finish(broker, held)) == []


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
@in_loop
async def test_connections_that_the_server_kills_are_made_again(
    redis_server: RedisServer, redis_url: str, kind: str
) -> None:
    async with worker_at(redis_url) as broker:
        for name in "abc":
            await broker.apublish([job(name)])
            held = await take_all(broker, 1)
            waiting = asyncio.create_task(take_all(broker, 1))
            redis_server.call("CLIENT", "KILL", "TYPE", kind)
            await try_on(lambda: broker.apublish([job(name.upper())]))  # noqa: B023 - awaited here
            assert names(await waiting) == [name.upper()]
            batch = [Settlement(one, Acknowledge()) for one in [*held, *waiting.result()]]
            assert refused_names(await try_on(lambda: broker.settle(batch))) == []  # noqa: B023 - awaited here
        assert await try_on(broker.renew)


@in_loop
async def test_an_idle_producer_whose_connection_was_killed_publishes_at_once(
    redis_server: RedisServer, redis_url: str
) -> None:
    with broker_at(redis_url) as broker:
        for number in range(1, 4):
            redis_server.call("CLIENT", "KILL", "TYPE", "normal")
            broker.publish([job(number)])
            assert await try_on(lambda: broker.depth("q")) == number
