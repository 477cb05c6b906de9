"""One side's default queues are quorum queues and the other's are classic ones: what works then, and what does not.

RabbitMQ lets nobody declare a queue again with another type. Celeriac looks before it declares, Celery does not.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.environments import Environment

from interop.sides import SOLO, Place
from interop.transports import QueueType, RabbitTransport
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

QUEUE = "contested"


class Sides:
    """Places on one virtual host, each with settings for another type of queues."""

    def __init__(self, redis: RedisServer, rabbit: RabbitServer, environment: Environment, folder: Path) -> None:
        self._vhost = rabbit.add_vhost()
        self._common = (redis, 6, environment, folder)
        self._rabbit = rabbit

    def place(self, queue_type: QueueType) -> Place:
        """For those whose settings say this type."""
        transport = RabbitTransport(self._rabbit, queue_type, vhost=self._vhost)
        return Place(*self._common, {"task_default_queue": QUEUE}, transport)

    def type_of_queue(self) -> str:
        """What the server has."""
        return self._rabbit.queues(self._vhost)[QUEUE].kind


@pytest.fixture
def sides(
    interop_server: RedisServer, rabbit_server: RabbitServer, celery_environment: Environment, tmp_path: Path
) -> Sides:
    return Sides(interop_server, rabbit_server, celery_environment, tmp_path)


@pytest.mark.parametrize(("found", "wanted"), [("classic", "quorum"), ("quorum", "classic")])
def test_celeriac_uses_a_queue_of_celerys_of_any_type(sides: Sides, found: QueueType, wanted: QueueType) -> None:
    with sides.place(found).celery() as celery, sides.place(wanted).celeriac() as celeriac:
        from_celery = celery.send("where")
        from_celeriac = celeriac.send("where")
        with sides.place(wanted).worker("celeriac", [], "-c", "1"):
            assert [celeriac.get(task_id).value for task_id in (from_celery, from_celeriac)] == ["celeriac"] * 2
    assert sides.type_of_queue() == found


def test_celery_can_not_use_a_quorum_queue_of_celeriacs_with_its_own_defaults(sides: Sides) -> None:
    with sides.place("quorum").celeriac() as celeriac, sides.place("classic").celery() as celery:
        celeriac.send("where")
        assert sides.type_of_queue() == "quorum"
        with pytest.raises(AssertionError, match="PRECONDITION_FAILED"):
            celery.send("where")
        worker = sides.place("classic").start("celery", [], *SOLO)
        worker.wait_end()
        assert "PRECONDITION_FAILED" in worker.log
    with sides.place("quorum").celery() as celery, sides.place("quorum").worker("celery", [], *SOLO):
        assert celery.get(celery.send("where")).value == "celery"
