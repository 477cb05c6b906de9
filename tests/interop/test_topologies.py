"""Queues, exchanges and bindings that one side has made, used by the other side's workers and both sides' producers."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from scripts.environments import Environment

from interop.pairs import wait_until
from interop.sides import SOLO, Client, Place, SideName, other
from interop.transports import QueueType, RabbitTransport
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

#: Everything that kombu's queues can be told and that a server compares.
CLASSIC: Final[dict[str, Any]] = {
    "worker_direct": True,
    "task_queues": {
        "limited": {
            "exchange": "limited",
            "routing_key": "limited",
            "queue_arguments": {
                "x-max-priority": 10,
                "x-message-ttl": 600_000,
                "x-expires": 3_600_000,
                "x-max-length": 1000,
                "x-overflow": "reject-publish",
            },
        },
        "brief": {"exchange": "brief", "queue_durable": False, "exchange_durable": False},
        "feeds": {"exchange": "feeds", "exchange_type": "topic", "routing_key": "feed.*.eu"},
        "papers": {
            "exchange": "papers",
            "exchange_type": "headers",
            "binding_arguments": {"x-match": "all", "format": "pdf"},
        },
        "news_a": {"exchange": "news", "exchange_type": "fanout"},
        "news_b": {"exchange": "news", "exchange_type": "fanout"},
        "reload": {"broadcast": True},
    },
}
QUORUM: Final[dict[str, Any]] = {
    "task_queues": {
        "loud": {"exchange": "loud", "exchange_type": "fanout", "queue_arguments": {"x-queue-type": "quorum"}},
        "jobs": {
            "exchange": "jobs",
            "exchange_type": "topic",
            "routing_key": "jobs",
            "queue_arguments": {"x-queue-type": "quorum", "x-delivery-limit": 50, "x-message-ttl": 600_000},
        },
    },
}

NODE: Final = "taker@HOST"


class Taken(NamedTuple):
    """A place that one side's worker has set up and left, and where the other side's worker takes tasks now.

    Attributes:
        place: where.
        by: whose worker takes.
        clients: the producers.
    """

    place: Place
    by: SideName
    clients: dict[SideName, Client]

    def run(self, times: int = 1, **options: Any) -> None:
        """Let each producer send a task, and see that it runs so many times, all of them here."""
        for producer, client in self.clients.items():
            key = uuid.uuid4().hex
            client.send("where", key, producer, **options)
            assert self.place.journal.take(key, times) == [f"{self.by} {producer}"] * times, (producer, options)
            assert self.place.journal.rest(key) == []


@pytest.fixture(params=["celery", "celeriac"], ids=["celery-made-it", "celeriac-made-it"])
def maker(request: pytest.FixtureRequest) -> SideName:
    name: SideName = request.param
    return name


@contextlib.contextmanager
def taken_over(place: Place, maker: SideName) -> Iterator[Taken]:
    """One side's worker starts and ends, the other's starts: nothing that it finds stops it."""
    options = {"celery": SOLO, "celeriac": ("-c", "1")}
    with place.worker(maker, [], *options[maker]):
        pass
    taker = other(maker)
    with (
        place.celery() as celery,
        place.celeriac() as celeriac,
        place.worker(taker, [], *options[taker], "-n", NODE),
    ):
        yield Taken(place, taker, {"celery": celery, "celeriac": celeriac})


@pytest.fixture
def make_place(
    interop_server: RedisServer, rabbit_server: RabbitServer, celery_environment: Environment, tmp_path: Path
) -> Callable[[QueueType, dict[str, Any]], Place]:
    def make(queue_type: QueueType, settings: dict[str, Any]) -> Place:
        transport = RabbitTransport(rabbit_server, queue_type)
        return Place(interop_server, 6, celery_environment, tmp_path, settings, transport)

    return make


MakePlace = Callable[[QueueType, dict[str, Any]], Place]


def test_queues_of_all_kinds_are_used_as_the_other_side_has_made_them(make_place: MakePlace, maker: SideName) -> None:
    with taken_over(make_place("classic", CLASSIC), maker) as taken:
        taken.run(queue="limited", priority=4)
        taken.run(queue="brief", delivery_mode=1)
        taken.run(exchange="feeds", routing_key="feed.sport.eu")
        taken.run(exchange="papers", routing_key="any", headers={"format": "pdf"})
        taken.run(2, exchange="news", routing_key="any")
        taken.run(queue="reload")
        taken.run(exchange="C.dq2", routing_key=NODE)


def test_quorum_queues_and_native_delays_are_used_as_the_other_side_has_made_them(
    make_place: MakePlace, maker: SideName
) -> None:
    with taken_over(make_place("quorum", QUORUM), maker) as taken:
        taken.run(queue="jobs")
        taken.run(exchange="jobs", routing_key="jobs")
        key = uuid.uuid4().hex
        due = datetime.now(UTC) + timedelta(seconds=3)
        for producer, client in taken.clients.items():
            client.send("where", key, producer, queue="jobs", eta=due)
        wait_until(lambda: taken.place.transport.parked("jobs") == 2, "both wait in the server")
        assert sorted(taken.place.journal.take(key, 2)) == [f"{taken.by} celeriac", f"{taken.by} celery"]
        assert datetime.now(UTC) >= due


def test_what_celery_delays_to_a_fanout_exchange_needs_a_worker_of_celerys(
    make_place: MakePlace,
) -> None:
    """Its binding catches what is delayed for others, too; Celeriac's workers make none, and delay for each queue."""
    place, key = make_place("quorum", QUORUM), uuid.uuid4().hex
    with place.celery() as celery, place.celeriac() as celeriac, place.worker("celeriac", [], "-c", "1"):
        celeriac.send("where", key, "first", queue="jobs")
        assert place.journal.take(key) == ["celeriac first"]  # this worker has looked after all its queues
        celery.send("where", key, "from celery", queue="loud", countdown=1.5)
        celeriac.send("where", key, "from celeriac", queue="loud", countdown=1.5)
        celery.send("where", key, "last", queue="jobs", countdown=3)
        assert place.journal.take(key, 2) == ["celeriac from celeriac", "celeriac last"]
