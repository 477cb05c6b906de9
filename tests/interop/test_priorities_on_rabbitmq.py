"""Priorities on RabbitMQ: the highest number first, on either side, whoever has sent; without `x-max-priority` none."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Final

import pytest
from scripts.environments import Environment

from interop.pairs import wait_until
from interop.sides import SOLO, Place, SideName
from interop.transports import RabbitTransport
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

SENT: Final = [3, 9, 0, 5, 7, 2, 8, 1, 6, 4] * 2


@pytest.fixture(scope="module")
def place(
    interop_server: RedisServer,
    rabbit_server: RabbitServer,
    celery_environment: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Place:
    settings = {
        "task_queues": {
            f"{kind}-{side}": {"queue_arguments": {"x-max-priority": 9} if kind == "ranked" else {}}
            for kind in ("ranked", "plain")
            for side in ("celery", "celeriac")
        }
    }
    folder = tmp_path_factory.mktemp("priorities")
    return Place(interop_server, 7, celery_environment, folder, settings, RabbitTransport(rabbit_server, "classic"))


def _holds(place: Place, queue: str, count: int) -> bool:
    return place.transport.waiting(queue) == count


@pytest.mark.parametrize(("side", "kind"), [("celery", "ranked"), ("celeriac", "ranked"), ("celeriac", "plain")])
def test_the_order_is_that_of_the_priorities_then_of_sending(place: Place, side: SideName, kind: str) -> None:
    queue, key = f"{kind}-{side}", uuid.uuid4().hex
    with place.celery() as celery, place.celeriac() as celeriac:
        for at, priority in enumerate(SENT):
            (celery if at % 2 else celeriac).send("where", key, str(at), queue=queue, priority=priority)
            # Celery does not wait until the server has it, and the next one goes another way.
            wait_until(partial(_holds, place, queue, at + 1), "it is in the queue")
    with place.worker(side, [queue], *(SOLO if side == "celery" else ("-c", "1"))):
        ran = [entry.split() for entry in place.journal.take(key, len(SENT))]
    assert {name for name, _ in ran} == {side}
    expected = {
        "ranked": sorted(range(len(SENT)), key=lambda at: (-SENT[at], at)),
        "plain": list(range(len(SENT))),
    }
    assert [int(at) for _, at in ran] == expected[kind]
