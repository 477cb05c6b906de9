"""How much of what its queues hold a worker has sent to it, whatever becomes of the queues and of its connection."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import amqp
import pytest

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.brokers.rabbitmq.supply import Supply
from celeriac.config import Settings
from celeriac.entities import Broadcast, Queue
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.message import Delivery, Loss, Message, Publication
from celeriac.outcome import Acknowledge, Requeue, Settlement
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.topology import Topology
from conformance.cutting import Scissors
from servers.waiting import wait_until

from .conftest import Place

_DEADLINE = 30.0
#: Seconds in which a worker that does something again and again has done it: it looks after its queues twice a second.
_A_WHILE = 2.5


def test_what_was_fetched_does_not_raise_the_prefetch(place: Place) -> None:
    async def scenario() -> None:
        async with _worker(place) as broker:
            broker.publish(_tasks(20))
            fetched = await broker.reserve(["tasks"], 8, 0.0)
            assert len(fetched) == 8
            await broker.settle([Settlement(fetched[0], Acknowledge())])
            await _take(broker, 1)
            await _never(lambda: place.held() > 9, "it has more than it asked for")

    _run(scenario())


def test_what_is_held_of_a_deleted_queue_does_not_raise_the_prefetch(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with _worker(place) as broker:
            broker.publish(_tasks(8))
            running = await _take(broker, 8)
            await asyncio.to_thread(_delete, place, "tasks")
            await _until(lambda: "was deleted" in caplog.text, "it has heard of that")
            asked = asyncio.create_task(broker.reserve(["tasks"], 1, _DEADLINE))
            await _until(lambda: _consumers(place, "tasks") == 1, "it is consumed again")
            broker.publish(_tasks(20))
            assert len(await asked) == 1
            await broker.settle([Settlement(running[0], Acknowledge())])
            await _never(lambda: place.queues()["tasks"].unacknowledged > 1, "it has more than it asked for")

    _run(scenario())


def test_a_full_worker_keeps_the_last_consumer_of_a_queue_that_goes_with_it(place: Place) -> None:
    broadcast = Broadcast("reload", queue="reload.w")
    queues = ["tasks", "empty", broadcast.name]

    async def scenario() -> None:
        async with _worker(place, queues=[broadcast]) as broker:
            broker.publish(_tasks(8))
            running = await _take(broker, 8, queues)
            await _until(lambda: _consumers(place, "empty") == 0, "the worker has noticed that it is full")
            await _never(lambda: _consumers(place, broadcast.name) == 0, "nobody consumes")
            await asyncio.to_thread(_channel_do, place, _broadcast)
            await broker.settle([Settlement(running[0], Acknowledge())])
            assert [one.head.id for one in await _take(broker, 1, queues)] == ["news"]

    _run(scenario())


def test_a_queue_with_a_single_active_consumer_gets_one(place: Place) -> None:
    single = Queue("tasks", queue_arguments={"x-queue-type": "quorum", "x-single-active-consumer": True})

    async def scenario() -> None:
        async with _worker(place, queues=[single]) as broker:
            broker.publish(_tasks(6))
            first = await _take(broker, 2)
            assert await broker.reserve(["tasks"], 2, 0.0) == []
            assert _consumers(place, "tasks") == 1
            await broker.settle([Settlement(one, Acknowledge()) for one in first])
            assert [one.head.id for one in await _take(broker, 2)] == ["2", "3"]
            assert await broker.renew(), "no connection was lost"

    _run(scenario())


def test_an_exclusive_queue_is_refused_with_the_cure(place: Place) -> None:
    async def scenario() -> None:
        async with _worker(place, queues=[Queue("tasks", exclusive=True)]) as broker:
            with pytest.raises(ImproperlyConfigured, match="auto_delete=True"):
                await broker.reserve(["tasks"], 1, 0.0)

    _run(scenario())


def test_nothing_looks_lost_after_a_close_while_a_consumer_began(place: Place) -> None:
    async def scenario() -> None:
        async with _worker(place) as broker:
            broker.publish(_tasks(50))
            first = await _take(broker, 5)
            await broker.settle([Settlement(one, Acknowledge()) for one in first])
            await _supply(broker).stop_consuming()
            _supply(broker).raise_prefetch(["tasks"], 200)
            await _supply(broker).stop_consuming()
            await _never(lambda: _consumers(place, "tasks"), "what began last goes on")

    _run(scenario())


def test_a_queue_that_is_deleted_as_a_consumer_begins_is_consumed_again(place: Place) -> None:
    async def scenario() -> None:
        async with _worker(place) as broker:
            assert await broker.reserve(["tasks"], 1, 0.0) == []
            _supply(broker).raise_prefetch(["tasks"], 4)
            wait_until(lambda: _consumers(place, "tasks") == 1, "it consumes, and the event loop has not heard of it")
            _delete(place, "tasks")
            wait_until(lambda: not _known_consumers(broker, "tasks"), "its thread has heard of that")
            asked = asyncio.create_task(broker.reserve(["tasks"], 4, _DEADLINE))
            await _until(lambda: _consumers(place, "tasks") == 1, "it is consumed again")
            broker.publish(_tasks(1))
            assert len(await asked) == 1

    _run(scenario())


def test_what_came_early_leaves_a_worker_that_became_full(place: Place) -> None:
    async def scenario() -> None:
        async with _worker(place) as broker, _worker(place, "other") as other:
            asked = asyncio.create_task(broker.reserve(["tasks"], 1, _DEADLINE))
            await _until(lambda: _consumers(place, "tasks") == 1, "it is consumed")
            broker.publish([Publication(_message("early"), "tasks", not_before=time.time() + 0.9)])
            await _until(lambda: place.queues()["tasks"].unacknowledged == 1, "it has come, early")
            broker.publish([Publication(_message("long"), "tasks")])
            assert [one.head.id for one in await asked] == ["long"]
            assert [one.head.id for one in await _take(other, 1)] == ["early"]

    _run(scenario())


def test_what_waited_at_a_lost_worker_for_its_time_is_not_lost_and_waits_on(place: Place) -> None:
    scissors = Scissors(place.server, place.vhost)

    async def scenario() -> None:
        async with _worker(place, url=scissors.new_url()) as broker, _worker(place, "other") as other:
            asked = asyncio.create_task(broker.reserve(["tasks"], 1, _DEADLINE))
            await _until(lambda: _consumers(place, "tasks") == 1, "it is consumed")
            due = time.time() + 0.95
            broker.publish([Publication(_message("early"), "tasks", not_before=due)])
            await _until(lambda: place.held() == 1, "it has come, early")
            taken = asyncio.create_task(_take(other, 1))
            await asyncio.to_thread(scissors.cut, ("w",))
            assert [one.lost_by for one in await taken] == [None]
            assert time.time() >= due
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            scissors.let_back(("w",))

    _run(scenario())


def test_a_suspect_comes_back_to_the_full_worker_that_runs_it(place: Place) -> None:
    async def scenario() -> None:
        async with _worker(place) as broker:
            broker.publish(_tasks(1))
            lost = await _take(broker, 1)
            await broker.settle([Settlement(lost[0], Requeue(loss=Loss(0.0, "other", "gone")))])
            suspects = await _take(broker, 1)
            await asyncio.to_thread(place.server.close_all_connections)
            await _until(lambda: place.queues()["celeriac.suspects.tasks"].ready == 1, "it lost its place")
            await _until(lambda: place.queues()["celeriac.suspects.tasks"].unacknowledged == 1, "it is held again")
            assert await broker.settle([Settlement(suspects[0], Acknowledge())]) == []
            await _until(place.is_worked_off, "it is settled")

    _run(scenario())


def test_a_name_that_was_not_free_after_a_lost_connection_is_claimed_later(place: Place) -> None:
    scissors = Scissors(place.server, place.vhost)
    name = "celeriac.worker.w"

    async def scenario() -> None:
        async with _worker(place, url=scissors.new_url()) as broker:
            await asyncio.to_thread(scissors.cut, ("w",))
            with _holding_exclusively(place, name):
                scissors.let_back(("w",))
                while not await _is_connected(broker):
                    await asyncio.sleep(0)
            await _until(lambda: name in place.queues(), "it has claimed its name")

    _run(scenario())


# -- what they share ---------------------------------------------------------------------------------------------------


def _run(scenario: Any) -> None:
    asyncio.run(asyncio.wait_for(scenario, 2 * _DEADLINE))


@contextlib.asynccontextmanager
async def _worker(
    place: Place, owner: str = "w", *, url: str | None = None, queues: Iterable[Queue] = (), kind: str = "quorum"
) -> AsyncIterator[RabbitBroker]:
    location = read_location(url or place.url, {}, setting="broker_url", settings=Settings())
    broker = RabbitBroker(location, topology=Topology(list(queues), missing_type=kind))
    try:
        await broker.open(owner, lease_seconds=10.0)
        try:
            yield broker
        finally:
            await broker.close()
    finally:
        broker.disconnect()


def _message(name: object) -> Message:
    return Message({"id": str(name), "task": "t"}, {"correlation_id": str(name)}, b"[]")


def _tasks(count: int, queue: str = "tasks") -> list[Publication]:
    return [Publication(_message(number), queue) for number in range(count)]


async def _take(broker: RabbitBroker, count: int, queues: Iterable[str] = ("tasks",)) -> list[Delivery]:
    taken: list[Delivery] = []
    while len(taken) < count:
        taken += await broker.reserve(list(queues), count - len(taken), _DEADLINE)
    return taken


async def _until(condition: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what)


async def _never(condition: Callable[[], object], what: str) -> None:
    """It must not happen within a while: what does not happen can not be waited for."""
    end = time.monotonic() + _A_WHILE
    while time.monotonic() < end:
        assert not await asyncio.to_thread(condition), what


def _consumers(place: Place, queue: str) -> int:
    state = place.queues().get(queue)
    return state.consumers if state is not None else 0


def _channel_do(place: Place, action: Callable[[amqp.Channel], object]) -> None:
    connection = amqp.Connection(f"127.0.0.1:{place.server.port}", virtual_host=place.vhost)
    connection.connect()
    try:
        action(connection.channel())
    finally:
        connection.close()


def _delete(place: Place, queue: str) -> None:
    _channel_do(place, lambda channel: channel.queue_delete(queue))


def _broadcast(channel: amqp.Channel) -> None:
    """As another program does."""
    channel.basic_publish(
        amqp.Message(b"[]", correlation_id="news", application_headers={"id": "news", "task": "t"}), "reload", ""
    )


def _supply(broker: RabbitBroker) -> Supply:
    assert broker._session is not None
    return broker._session._supply


def _known_consumers(broker: RabbitBroker, feed: str) -> object:
    """Of those the client library would tell that they were ended."""
    line = _supply(broker)._line
    assert line is not None
    return vars(line._channels[feed])["cancel_callbacks"]


@contextlib.contextmanager
def _holding_exclusively(place: Place, queue: str) -> Iterator[None]:
    connection = amqp.Connection(f"127.0.0.1:{place.server.port}", virtual_host=place.vhost)
    connection.connect()
    try:
        connection.channel().queue_declare(queue, durable=False, exclusive=True, auto_delete=False)
        yield
    finally:
        connection.close()


async def _is_connected(broker: RabbitBroker) -> bool:
    try:
        await broker.renew()
    except OperationalError:
        return False
    return True
