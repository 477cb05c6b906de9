"""Connections under stress: replies belong to their callers, and no wait is without its end."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from celeriac.backends.redis import RedisBackend
from celeriac.brokers.redis import RedisBroker, scripts
from celeriac.config import Settings
from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.outcome import Acknowledge, Keep, Requeue, Settlement
from celeriac.storage.redis.async_links import AsyncLink, LoopLinks
from celeriac.storage.redis.links import Links
from celeriac.storage.redis.location import Location
from celeriac.storage.redis.reading import read_location
from celeriac.testing.conformance.support import PATIENCE, in_loop, job, message, names, opened, success, take
from servers.proxy import Point, RedisProxy
from servers.redis import RedisServer

from .support import runs

TIMEOUT = 1.0
LARGE = b"x" * 30_000_000


def location(url: str) -> Location:
    options = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    return read_location(url, options, setting="broker_url", settings=Settings())


def test_replies_reach_their_callers_when_a_large_write_is_cancelled(redis_url: str, redis_server: RedisServer) -> None:
    @in_loop
    async def run() -> None:
        backend = RedisBackend(read_location(redis_url, {}, setting="broker_url", settings=Settings()))
        await backend.astore([success(name) for name in "abcd"])
        redis_server.pause()
        try:
            large = asyncio.create_task(backend.astore([success("large", LARGE.decode())]))
            await asyncio.sleep(0.1)
            large.cancel()
            await asyncio.wait([large])
        finally:
            redis_server.resume()
        assert [await backend.await_ready(name, 0) for name in "abcd"] == [success(name) for name in "abcd"]
        backend.disconnect()

    run()


def test_a_command_that_can_not_be_sent_leaves_no_gap_among_the_replies(redis_url: str) -> None:
    @in_loop
    async def run() -> None:
        broker = RedisBroker(location(redis_url))
        await broker.apublish([job(1), job(2)])
        with pytest.raises(StoreRefused):
            await broker.apublish([job(3, "q\ud800")])
        with pytest.raises(TypeError):
            await broker._loop_links.here().call("SET", "k", object())  # type: ignore[arg-type]
        assert await asyncio.gather(*(broker.depth(queue) for queue in ("q", "empty", "q"))) == [2, 0, 2]
        broker.disconnect()

    run()


def test_a_large_write_to_a_server_that_hangs_fails_in_time(redis_url: str, redis_server: RedisServer) -> None:
    @in_loop
    async def run() -> None:
        broker = RedisBroker(location(redis_url))
        await broker.depth("q")
        redis_server.pause()
        try:
            began = time.monotonic()
            with pytest.raises(OperationalError, match="did not answer"):
                await broker.apublish([job(1, body=LARGE)])
            assert time.monotonic() - began < 4 * TIMEOUT
        finally:
            redis_server.resume()
        assert await broker.depth("empty") == 0
        broker.disconnect()

    run()


def test_closing_fails_who_is_just_connecting_with_an_error_of_ours(redis_url: str, redis_server: RedisServer) -> None:
    @in_loop
    async def run() -> None:
        link = AsyncLink(location(redis_url))
        redis_server.pause()
        try:
            calling = asyncio.create_task(link.call("PING"))
            await asyncio.sleep(0.05)
            link.abandon()
            with pytest.raises(OperationalError):
                await calling
        finally:
            redis_server.resume()

    run()


def test_loops_that_have_ended_are_let_go(redis_url: str) -> None:
    links = LoopLinks(location(redis_url))
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def call() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        assert await links.here().call("PING") == b"PONG"

    for _ in range(10):
        asyncio.run(call())
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1


def test_a_batch_that_waits_for_its_repetition_is_not_forgotten_for_others(
    redis_url: str, redis_server: RedisServer
) -> None:
    """Its place in the server's memory is its own until it is answered."""

    @in_loop
    async def run() -> None:
        with RedisProxy(redis_server.port) as proxy:
            broker = RedisBroker(location(proxy.url()))
            async with opened(broker, lease_seconds=60):
                broker.publish([job(n) for n in range(12)])
                held = await take(broker)
                first = [Settlement(held[0], Acknowledge(), success("0"), (job("next", "next"),))]
                proxy.at(runs(scripts.SETTLE), Point.CUT_BEFORE)
                with pytest.raises(OperationalError):
                    await broker.settle(first)
                for one in held[1:]:
                    assert await broker.settle([Settlement(one, Acknowledge())]) == []
                assert await broker.settle(first) == []
                assert await broker.depth("next") == 1
            broker.disconnect()
        assert redis_server.call("EXISTS", "celery-task-meta-0") == 1
        assert redis_server.call("KEYS", "celeriac:held:*") == []

    run()


def test_a_server_that_comes_back_with_less_hides_nothing_from_a_living_worker() -> None:
    """An older snapshot holds what was settled since: it is delivered again, not held by who does not know of it."""

    @in_loop
    async def run(server: RedisServer) -> None:
        broker = RedisBroker(location(server.url()))
        async with opened(broker, lease_seconds=60):
            broker.publish([job("known"), job("retried")])
            known, retried = await take(broker)
            server.call("SAVE")
            later = Requeue(message("retried", b"again"), time.time() + 0.5)
            assert await broker.settle([Settlement(retried, later)]) == []
            server.kill()
            server.restart()
            seen: list[str] = []
            async with asyncio.timeout(PATIENCE):
                while not seen:
                    try:
                        seen = names(await broker.reserve(["q"], 10, 0.2))
                    except OperationalError:
                        await asyncio.sleep(0.05)
            assert seen == ["retried"]
            assert await broker.settle([Settlement(known, Keep())]) == []
        broker.disconnect()

    with RedisServer() as server:
        run(server)


def test_connections_lost_to_signals_leave_room_for_others(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A soft time limit can end a call between any two lines."""
    place = Location.connect
    links = Links(location(redis_url))
    limit = links._location.pool_limit
    assert limit is not None

    def interrupted(self: Location) -> object:
        place(self).disconnect()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Location, "connect", interrupted)
        for _ in range(limit + 1):
            with pytest.raises(KeyboardInterrupt):
                links.call("PING")
    for _ in range(limit + 1):
        links._pool.borrow().disconnect()  # and forgotten, as by an exception behind it
    assert links.call("PING") == b"PONG"
    links.close()
