"""What a worker of either side leaves behind on RabbitMQ when it ends or dies: the other side's has it at once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from scripts.environments import Environment

from interop.pairs import wait_until
from interop.sides import QUIET, SOLO, CeleriacClient, CeleryClient, Place, SideName, other
from interop.transports import RabbitTransport
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

OPTIONS = {"celery": SOLO, "celeriac": ("-c", "1")}


class Scene(NamedTuple):
    """A virtual host with producers, and a queue for one test."""

    place: Place
    celery: CeleryClient
    celeriac: CeleriacClient
    queue: str


@pytest.fixture(scope="module", params=[pytest.param("classic", marks=pytest.mark.long), "quorum"])
def producers(
    request: pytest.FixtureRequest,
    interop_server: RedisServer,
    rabbit_server: RabbitServer,
    celery_environment: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Place, CeleryClient, CeleriacClient]]:
    transport = RabbitTransport(rabbit_server, request.param)
    folder = tmp_path_factory.mktemp(f"dying-{transport.name}")
    place = Place(interop_server, 7, celery_environment, folder, transport=transport)
    with place.celery() as celery, place.celeriac() as celeriac:
        yield place, celery, celeriac


@pytest.fixture
def scene(producers: tuple[Place, CeleryClient, CeleriacClient]) -> Scene:
    return Scene(*producers, f"queue-{uuid.uuid4()}")


@pytest.mark.parametrize("dying", ["celery", "celeriac"])
def test_what_a_killed_worker_held_the_other_side_runs(scene: Scene, dying: SideName) -> None:
    """Without a wait for a visibility timeout: a connection that ends gives back what was delivered over it."""
    place, celery, celeriac, queue = scene
    key = uuid.uuid4().hex
    with place.worker(dying, [queue], *OPTIONS[dying]) as worker:
        task_id = celery.send("late", key, queue=queue)
        assert place.journal.take(key) == [dying]
        worker.kill()
    with place.worker(other(dying), [queue], *OPTIONS[other(dying)]):
        assert place.journal.take(key) == [other(dying)]
        place.journal.open(key)
        assert celery.get(task_id) == celeriac.get(task_id)
        assert celery.look(task_id).value == other(dying)
        wait_until(lambda: place.transport.unacknowledged() == 0, "it is acknowledged")
    assert place.transport.waiting(queue) == 0


def test_what_a_celery_worker_hands_back_many_times_a_celeriac_worker_runs(scene: Scene) -> None:
    """A quorum queue counts how often a message came back. That is no count of workers that died of it."""
    place, celery, celeriac, queue = scene
    key = uuid.uuid4().hex
    task_id = celery.send("refuses", "celery", key, queue=queue)
    with place.worker("celery", [queue], *SOLO) as worker:
        assert place.journal.take(key, 20) == ["celery"] * 20
        worker.kill()  # it would go on while it stops
    with place.worker("celeriac", [queue], "-c", "1"):
        assert celeriac.get(task_id).value == "celeriac"
        assert celery.get(task_id).value == "celeriac"


def test_what_a_stopped_celery_worker_had_fetched_is_run_as_redelivered(scene: Scene) -> None:
    place, celery, celeriac, queue = scene
    key = uuid.uuid4().hex
    with place.worker("celery", [queue], *QUIET) as worker:
        running = celery.send("late", key, queue=queue)
        assert place.journal.take(key) == ["celery"]
        fetched = [celeriac.send("context", number, queue=queue) for number in range(3)]
        wait_until(lambda: place.transport.unacknowledged() == 4, "one runs and three are fetched ahead")
        worker.ask_to_stop()
        place.journal.open(key)
        worker.wait_end()
    assert celeriac.get(running).value == "celery"
    wait_until(lambda: place.transport.waiting(queue) == 3, "what was fetched is back")
    with place.worker("celeriac", [queue], "-c", "1"):
        for task_id in fetched:
            seen = celery.get(task_id).value
            assert (seen["side"], seen["headers"]) == ("celeriac", None)
            assert seen["delivery_info"]["redelivered"] is True
