"""What others put into the lists: Celery's envelopes, hand-made ones, and garbage."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.brokers.redis import RedisBroker
from celeriac.config import Settings
from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.message import Delivery, Loss
from celeriac.outcome import Acknowledge, Bury, Keep, Requeue, Settlement
from celeriac.storage.redis.reading import read_location
from celeriac.testing.conformance.support import PATIENCE, in_loop, job, names, opened, success, take
from servers.redis import RedisServer

LOSS = Loss(1.0, "w", "killed by signal 9")


@pytest.fixture
def broker(redis_url: str) -> Iterator[RedisBroker]:
    made = RedisBroker(read_location(redis_url, {}, setting="broker_url", settings=Settings()))
    yield made
    made.disconnect()


def envelope(**changes: Any) -> dict[str, Any]:
    """As Celery writes it."""
    return {
        "body": base64.b64encode(b"[[2, 3], {}, {}]").decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "proj.add", "id": "one"},
        "properties": {
            "delivery_info": {"exchange": "", "routing_key": "q"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": 7,
        },
        **changes,
    }


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(envelope(), id="as Celery"),
        pytest.param(envelope(headers=None), id="no headers, as protocol 1"),
        pytest.param(
            envelope(body="[[2, 3], {}, {}]", properties={"delivery_tag": "x"}), id="a body that is not encoded"
        ),
        pytest.param(
            {"body": base64.b64encode(b"[[2, 3], {}, {}]").decode(), "properties": {"body_encoding": "base64"}},
            id="nothing but a body",
        ),
        pytest.param(envelope(headers={"task": "proj.add", "rate": float("nan")}), id="NaN as Python writes it"),
        pytest.param(envelope(extra=[1, 2]), id="unknown fields"),
        pytest.param(
            envelope(properties={"priority": 10**26, "body_encoding": "base64"}), id="a priority of astronomical size"
        ),
    ],
)
def test_what_celery_takes_is_taken(broker: RedisBroker, redis_server: RedisServer, sent: dict[str, Any]) -> None:
    @in_loop
    async def run() -> None:
        redis_server.call("LPUSH", "q", json.dumps(sent))
        async with opened(broker):
            (delivery,) = await take(broker)
            assert not delivery.is_damaged
            assert delivery.message.body == b"[[2, 3], {}, {}]"
            assert delivery.message.content_type == "application/json"
            assert await broker.settle([Settlement(delivery, Acknowledge())]) == []

    run()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[1, 2]",
        b"null",
        b'{"headers": {}, "properties": {}}',
        b'{"body": 5, "headers": {}, "properties": {}}',
        b'{"body": "*not base64*", "headers": {}, "properties": {"body_encoding": "base64"}}',
        b'{"body": "", "headers": 7, "properties": "x"}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"body": "W10=", "headers": {"x": '
        + b"[" * 5000
        + b"]" * 5000
        + b'}, "properties": {"body_encoding": "base64"}}',
    ],
)
def test_garbage_is_buried_and_can_be_looked_at(broker: RedisBroker, redis_server: RedisServer, raw: bytes) -> None:
    @in_loop
    async def run() -> None:
        broker.publish([job("before")])
        redis_server.call("LPUSH", "q", raw)
        broker.publish([job("behind")])
        async with opened(broker):
            before, garbage, behind = await take(broker)
            assert names([before, behind]) == ["before", "behind"]
            assert garbage.is_damaged
            # Whatever may be decided about it must be possible.
            assert await broker.settle([Settlement(garbage, Requeue(loss=LOSS))]) == []
            (again,) = await take(broker)
            assert await broker.settle([Settlement(again, Bury("its head is damaged", LOSS))]) == []
            (letter,) = await broker.dead_letters("q")
            assert (letter.message.body, letter.reason, letter.history) == (raw, "its head is damaged", (LOSS,))
            assert await broker.requeue_dead_letters([letter.tag]) == 1
            (once_more,) = await take(broker)
            unfenced = Settlement(once_more, Bury("acknowledged before its run"), fenced=False)
            assert await broker.settle([Settlement(once_more, Acknowledge()), unfenced]) == []
            assert len(await broker.dead_letters()) == 1

    run()


def test_a_history_travels_in_the_message_and_marks_it_redelivered_for_celery(
    broker: RedisBroker, redis_server: RedisServer
) -> None:
    @in_loop
    async def run() -> None:
        redis_server.call("LPUSH", "q", json.dumps(envelope()))
        async with opened(broker):
            (delivery,) = await take(broker)
            await broker.settle([Settlement(delivery, Requeue(loss=LOSS))])
            stored = json.loads(redis_server.call("LINDEX", "q", 0))
            assert stored["properties"]["delivery_info"]["redelivered"] is True
            assert stored["headers"]["x-celeriac-losses"] == [
                {"at": 1.0, "worker": "w", "reason": "killed by signal 9"}
            ]
            assert stored["headers"]["task"] == "proj.add"
            (again,) = await take(broker)
            assert again.history == (LOSS,)

    run()


def test_queues_are_declared_as_kombu_does(broker: RedisBroker, redis_server: RedisServer) -> None:
    @in_loop
    async def run() -> None:
        async with opened(broker):
            await take(broker, 1, "celery", "other")

    run()
    for queue in (b"celery", b"other"):
        for table in (b"_kombu.binding.", b"_kombu.binding_permanent."):
            assert redis_server.call("SMEMBERS", table + queue) == [queue + b"\x06\x16\x06\x16" + queue]


def test_of_a_batch_with_a_follow_up_that_has_no_place_nothing_is_written(
    broker: RedisBroker, redis_server: RedisServer
) -> None:
    @in_loop
    async def run() -> None:
        redis_server.call("SET", "wrong", "a text")
        redis_server.call("SET", "celeriac:due:later", "a text")
        broker.publish([job(n) for n in range(3)])
        async with opened(broker):
            held = await take(broker)
            for follow_up in (job("x", "wrong"), job("x", "later", not_before=1e12)):
                batch = [
                    Settlement(held[0], Acknowledge(), success("0")),
                    Settlement(held[1], Keep(), None, (job("fine", "next"), follow_up)),
                    Settlement(held[2], Acknowledge()),
                ]
                with pytest.raises(StoreRefused):
                    await broker.settle(batch)
            assert redis_server.call("KEYS", "celery-task-meta-*") == []
            assert await broker.depth("next") == 0
            assert await broker.settle([Settlement(one, Acknowledge()) for one in held]) == []

    run()


def test_publications_of_which_one_has_no_place_are_not_published(
    broker: RedisBroker, redis_server: RedisServer
) -> None:
    redis_server.call("SET", "wrong", "a text")
    with pytest.raises(StoreRefused):
        broker.publish([job(1), job(2, "wrong")])
    with pytest.raises(StoreRefused):
        broker.publish([job(1, "wrong")])
    assert redis_server.call("EXISTS", "q") == 0


def test_two_deliveries_of_equal_messages_are_told_apart(broker: RedisBroker, redis_server: RedisServer) -> None:
    """Restoring a topic message, kombu stores it twice under one delivery tag."""

    @in_loop
    async def run() -> None:
        raw = json.dumps(envelope())
        redis_server.call("LPUSH", "q", raw, raw)
        async with opened(broker):
            first, second = await take(broker)
            assert await broker.settle([Settlement(first, Acknowledge())]) == []
            held: list[Delivery] = [second]
            assert await broker.settle([Settlement(one, Requeue()) for one in held]) == []
            assert await broker.depth("q") == 1

    run()


def test_a_key_that_is_no_list_stops_only_its_own_queue(
    broker: RedisBroker, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    @in_loop
    async def run() -> None:
        redis_server.call("SET", "q", "a text")
        redis_server.call("SET", "celeriac:due:other", "a text")
        broker.publish([job(1, "other"), job(2, "other"), job(3, "third", not_before=1e-9)])
        async with opened(broker):
            with caplog.at_level(logging.ERROR, "celeriac.broker"):
                for _ in range(3):
                    assert len(await broker.reserve(["q", "other", "third"], 1, 0)) == 1
                assert await broker.reserve(["q", "other"], 1, 0.05) == []
            assert len(caplog.records) == 2
            assert "'celeriac:due:other'" in caplog.text
            assert "'q'" in caplog.text
            redis_server.call("DEL", "q")
            broker.publish([job(4)])
            assert names(await take(broker)) == ["4"]

    run()


def test_a_busy_worker_puts_due_messages_where_celerys_workers_look(
    broker: RedisBroker, redis_server: RedisServer
) -> None:
    @in_loop
    async def run() -> None:
        async with opened(broker):
            assert await take(broker) == []
            broker.publish([job(1, not_before=time.time() + 0.05)])
            async with asyncio.timeout(PATIENCE):
                while redis_server.call("LLEN", "q") == 0:
                    assert await broker.renew()
                    await asyncio.sleep(0.01)

    run()


@pytest.mark.parametrize("queue", ["celeriac:leases", "_kombu.binding.celery", "a\x06\x163", "celery-task-meta-1"])
def test_a_queue_can_not_have_the_name_of_something_else(
    broker: RedisBroker, redis_server: RedisServer, queue: str
) -> None:
    @in_loop
    async def run() -> None:
        for publications in ([job(1, queue)], [job(1), job(2, queue)]):
            with pytest.raises(StoreRefused, match="can not be called"):
                broker.publish(publications)
        async with opened(broker):
            with pytest.raises(StoreRefused, match="can not be called"):
                await take(broker, 1, queue)
        assert redis_server.call("KEYS", "*") == []

    run()


def test_a_result_that_can_not_be_stored_leaves_its_message_held(
    broker: RedisBroker, redis_server: RedisServer, redis_url: str
) -> None:
    """A user that may not write results, for one: the message must not be gone with its result."""
    redis_server.call("ACL", "SETUSER", "half", "on", ">pw", "~q", "~celeriac:*", "~_kombu*", "&*", "+@all")
    url = redis_url.replace("redis://", "redis://half:pw@")
    poor = RedisBroker(read_location(url, {}, setting="broker_url", settings=Settings()))

    @in_loop
    async def run() -> None:
        broker.publish([job(1)])
        async with opened(poor):
            (held,) = await take(poor)
            for _ in range(2):
                with pytest.raises(OperationalError, match="permit"):
                    await poor.settle([Settlement(held, Acknowledge(), success("1"))])
        assert await broker.depth("q") == 1

    try:
        run()
    finally:
        poor.disconnect()
        redis_server.call("ACL", "DELUSER", "half")


def test_a_stranger_among_the_future_messages_is_no_obstacle(broker: RedisBroker, redis_server: RedisServer) -> None:
    @in_loop
    async def run() -> None:
        redis_server.call("ZADD", "celeriac:due:q", 1, "not ours")
        broker.publish([job(1)])
        async with opened(broker):
            known, stranger = await take(broker)
            assert names([known]) == ["1"]
            assert stranger.is_damaged
            assert await broker.renew()

    run()
