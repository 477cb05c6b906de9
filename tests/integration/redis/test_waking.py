"""Who is woken by what: idle brokers on a real server, by its own clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from celeriac.brokers.redis import RedisBroker
from celeriac.config import Settings
from celeriac.message import Delivery
from celeriac.storage.redis.reading import read_location
from celeriac.testing.conformance.support import PATIENCE, in_loop, job, names
from servers.redis import RedisServer

#: Seconds in which a woken worker is there even on a loaded machine; looking by itself would take it longer.
SOON = 0.9


def make_broker(url: str) -> RedisBroker:
    return RedisBroker(read_location(url, {}, setting="broker_url", settings=Settings()))


@asynccontextmanager
async def idle(url: str, count: int, limit: int = 1) -> AsyncIterator[list[asyncio.Task[list[Delivery]]]]:
    """`count` workers that wait for the queue q, all of them asleep."""
    brokers = [make_broker(url) for _ in range(count)]
    for number, broker in enumerate(brokers):
        await broker.open(f"w{number}", lease_seconds=10)
    waiting = [asyncio.create_task(broker.reserve(["q"], limit, PATIENCE)) for broker in brokers]
    await asyncio.sleep(0.2 + 0.01 * count)
    try:
        yield waiting
    finally:
        for broker in brokers:
            await broker.close()
            broker.disconnect()
        await asyncio.gather(*waiting)


def scripts_run(server: RedisServer) -> int:
    """How many scripts clients have asked for."""
    stats = server.call("INFO", "commandstats").decode()
    line = next((line for line in stats.splitlines() if line.startswith("cmdstat_evalsha:")), "calls=0,")
    return int(line.partition("calls=")[2].partition(",")[0])


@in_loop
async def _one_message(url: str, server: RedisServer) -> None:
    producer = make_broker(url)
    async with idle(url, 20, limit=10) as waiting:
        before = scripts_run(server)
        producer.publish([job(1)])
        done, _ = await asyncio.wait(waiting, timeout=SOON, return_when=asyncio.FIRST_COMPLETED)
        used = scripts_run(server) - before
        assert [names(task.result()) for task in done] == [["1"]]
    producer.disconnect()
    # The lookout took it. Nobody else was woken; one or two may have looked by themselves meanwhile.
    assert used <= 10


def test_one_message_wakes_one_of_many(redis_url: str, redis_server: RedisServer) -> None:
    _one_message(redis_url, redis_server)


def test_each_of_many_messages_finds_a_worker_at_once(redis_url: str) -> None:
    """Each can take one: whoever is woken wakes the next."""

    @in_loop
    async def run() -> None:
        producer = make_broker(redis_url)
        async with idle(redis_url, 10) as waiting:
            producer.publish([job(n) for n in range(10)])
            done, late = await asyncio.wait(waiting, timeout=SOON)
            assert not late
            assert sorted(names([delivery for task in done for delivery in task.result()])) == sorted(
                str(n) for n in range(10)
            )
        producer.disconnect()

    run()


def test_a_lookout_that_has_no_time_passes_it_on(redis_url: str) -> None:
    @in_loop
    async def run() -> None:
        producer = make_broker(redis_url)
        async with idle(redis_url, 3) as waiting:
            lookout = producer.location.prefix + "celeriac:lookout:q"
            link = producer._loop_links.here()
            number = int((await link.call("GET", lookout)).decode().partition("/")[0].removeprefix("w"))
            waiting[number].cancel()
            await asyncio.wait([waiting[number]])
            producer.publish([job(1)])
            done, _ = await asyncio.wait(
                [task for task in waiting if not task.done()], timeout=SOON, return_when=asyncio.FIRST_COMPLETED
            )
            assert [names(task.result()) for task in done] == [["1"]]
            waiting[number] = asyncio.create_task(asyncio.sleep(0, []))
        producer.disconnect()

    run()


def test_due_messages_come_at_their_time_whichever_was_sent_first(redis_url: str) -> None:
    @in_loop
    async def run() -> None:
        producer = make_broker(redis_url)
        async with idle(redis_url, 3) as waiting:
            start = time.time()
            producer.publish([job("late", not_before=start + 0.6)])
            producer.publish([job("soon", not_before=start + 0.2)])
            seen: list[tuple[str, float]] = []
            open_tasks = set(waiting)
            while len(seen) < 2:
                done, open_tasks = await asyncio.wait(open_tasks, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                seen += [(name, time.time() - start) for task in done for name in names(task.result())]
            assert [name for name, _ in seen] == ["soon", "late"]
            assert all(0 <= at - due < 0.3 for (_, at), due in zip(seen, (0.2, 0.6), strict=True))
        producer.disconnect()

    run()


def test_a_killed_channel_is_made_anew(redis_url: str, redis_server: RedisServer) -> None:
    @in_loop
    async def run() -> None:
        producer = make_broker(redis_url)
        async with idle(redis_url, 1) as waiting:
            redis_server.call("CLIENT", "KILL", "TYPE", "pubsub")
            producer.publish([job(1)])
            done, _ = await asyncio.wait(waiting, timeout=PATIENCE)
            assert [names(task.result()) for task in done] == [["1"]]
        producer.disconnect()

    run()


@pytest.mark.parametrize("rights", [("&*", "-client|tracking"), ("resetchannels", "&celeriac:*")])
def test_without_the_right_to_track_it_looks_often_and_says_so(
    rights: tuple[str, ...], redis_url: str, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.call("ACL", "SETUSER", "poor", "on", ">secret", "~*", "+@all", *rights)
    url = redis_url.replace("redis://", "redis://poor:secret@")

    @in_loop
    async def run() -> None:
        producer = make_broker(url)
        with caplog.at_level(logging.WARNING, "celeriac.broker"):
            async with idle(url, 1) as waiting:
                producer.publish([job(1)])
                done, _ = await asyncio.wait(waiting, timeout=SOON)
                assert [names(task.result()) for task in done] == [["1"]]
        producer.disconnect()

    try:
        run()
    finally:
        redis_server.call("ACL", "DELUSER", "poor")
    (record,) = caplog.records
    assert "CLIENT TRACKING" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_a_lookout_that_died_is_replaced(redis_url: str) -> None:
    @in_loop
    async def run() -> None:
        producer = make_broker(redis_url)
        link = producer._loop_links.here()
        # The claim of a worker that was killed: nobody takes it back, and it does not answer.
        await link.call("SET", "celeriac:lookout:q", "killed/1", "PX", 1000)
        async with idle(redis_url, 2) as waiting:
            async with asyncio.timeout(PATIENCE):
                while await link.call("GET", "celeriac:lookout:q") in (b"killed/1", None):
                    await asyncio.sleep(0.05)
            producer.publish([job(1)])
            done, _ = await asyncio.wait(waiting, timeout=SOON, return_when=asyncio.FIRST_COMPLETED)
            assert [names(task.result()) for task in done] == [["1"]]
        producer.disconnect()

    run()


def test_a_server_that_forgot_everything_is_told_of_the_queues_again(redis_url: str, redis_server: RedisServer) -> None:
    """Whatever call finds out first."""

    @in_loop
    async def run() -> None:
        broker = make_broker(redis_url)
        await broker.open("w", lease_seconds=10)
        for first in ("recover", "reserve"):
            await broker.reserve(["q"], 1, 0)
            assert redis_server.call("SCARD", "_kombu.binding.q") == 1
            redis_server.call("FLUSHALL")
            await (broker.recover(1) if first == "recover" else broker.reserve(["q"], 1, 0))
            await broker.renew()
        await broker.reserve(["q"], 1, 0)
        assert redis_server.call("SCARD", "_kombu.binding.q") == 1
        await broker.close()
        broker.disconnect()

    run()
