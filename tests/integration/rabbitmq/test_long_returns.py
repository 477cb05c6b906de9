"""A long row of what was delivered before: after its server crashed, a classic queue delivers all it has like that."""

from __future__ import annotations

import asyncio
import contextlib

import amqp
import pytest

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.message import Delivery, Loss, Message, Publication
from celeriac.outcome import Acknowledge, Requeue, Settlement
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.topology import Topology
from integration.worker.conftest import DEADLINE

from .conftest import Place, StartBench

_MANY = 200
_DEADLINE = 30.0


@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
def test_one_look_takes_over_all_of_it(place: Place, kind: str) -> None:
    location = read_location(place.url, {}, setting="broker_url", settings=Settings())
    broker = RabbitBroker(location, topology=Topology([], missing_type=kind))
    with contextlib.closing(_Disconnected(broker)):
        broker.publish([Publication(_message(number), "tasks") for number in range(_MANY)])
        _deliver_all(place, "tasks", _MANY)
        looks = asyncio.run(_take_over(broker))
    assert sum(looks) == _MANY
    assert len([look for look in looks if look]) <= 2, (
        "of those few that had come when the first look began, and the rest"
    )


def test_a_new_worker_takes_it_over_at_once(place: Place, bench_at: StartBench) -> None:
    """What it has not taken over fills its prefetch: until then it gets nothing else."""
    bench = bench_at(place.url)
    results = [bench.tasks.add.delay(number, 1) for number in range(4)]
    _deliver_all(place, "celery", 4)
    bench.start("-c", "2", CELERIAC_TEST_LEASE="120")
    assert [result.get(timeout=DEADLINE) for result in results] == [1, 2, 3, 4]


class _Disconnected:
    def __init__(self, broker: RabbitBroker) -> None:
        self.close = broker.disconnect


def _message(number: int) -> Message:
    return Message({"id": str(number), "task": "t"}, {"correlation_id": str(number)}, b"[[], {}, {}]")


def _deliver_all(place: Place, queue: str, count: int) -> None:
    """Have them delivered once to somebody who hangs up."""
    connection = amqp.Connection(f"127.0.0.1:{place.server.port}", virtual_host=place.vhost)
    connection.connect()
    with contextlib.closing(connection):
        channel = connection.channel()
        for _ in range(count):
            assert channel.basic_get(queue) is not None


async def _take_over(broker: RabbitBroker) -> list[int]:
    """As a worker does: how many each look brought, until all are done."""
    await broker.open("w", lease_seconds=10.0)
    looks: list[int] = []
    done = asyncio.create_task(_run_all(broker))
    async with asyncio.timeout(_DEADLINE):
        while sum(looks) < _MANY:
            looks.append(await _look(broker))
            await asyncio.sleep(0)
        assert await done == _MANY
    await broker.close()
    return looks


async def _look(broker: RabbitBroker) -> int:
    count = 0
    while lost := await broker.recover(256):
        count += len(lost)
        await broker.settle([Settlement(one, Requeue(loss=Loss(0.0, "x", "gone"))) for one in lost])
    return count


async def _run_all(broker: RabbitBroker) -> int:
    done: set[str] = set()
    while len(done) < _MANY:
        taken: list[Delivery] = await broker.reserve(["tasks"], 2, 5.0)
        await broker.settle([Settlement(one, Acknowledge()) for one in taken])
        done |= {one.message.headers["id"] for one in taken}
    return len(done)
