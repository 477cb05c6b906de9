"""Both sides with other settings: a prefix, a separator, other priority steps, extended results, a short life."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from scripts.environments import Environment

from interop.pairs import Direction, Pair, run_pair
from interop.sides import SOLO, Place, SideName, other
from servers.redis import RedisServer

SETTINGS: Final[dict[str, Any]] = {
    "broker_transport_options": {"global_keyprefix": "own:", "sep": ":", "priority_steps": [0, 5]},
    "result_backend_transport_options": {"global_keyprefix": "own"},
    "task_track_started": True,
    "result_extended": True,
    "result_expires": 60,
    "timezone": "Europe/Paris",
}


@pytest.fixture(scope="module")
def other_pair(
    interop_server: RedisServer, celery_environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    place = Place(interop_server, 1, celery_environment, tmp_path_factory.mktemp("other"), SETTINGS)
    with run_pair(place, *SOLO) as pair:
        yield pair


@pytest.fixture(params=["celery", "celeriac"], ids=["celery-to-celeriac", "celeriac-to-celery"])
def way(request: pytest.FixtureRequest, other_pair: Pair) -> Direction:
    return Direction(other_pair, request.param, other(request.param))


@pytest.mark.parametrize("priority", [0, 4, 5, 9])
def test_tasks_of_all_priorities_arrive(way: Direction, priority: int) -> None:
    assert way.succeed("add", 2, 3, priority=priority) == 5


def test_extended_results(way: Direction) -> None:
    seen = way.run("add", 2, kwargs={"y": 3})
    assert seen.extended is not None
    worker = seen.extended.pop("worker")
    assert worker.startswith(f"{way.worker}@")
    assert seen.extended == {"name": "add", "args": [2], "kwargs": {"y": 3}, "retries": 0, "queue": way.worker}
    assert str(seen.date_done).endswith("+01:00")


def test_results_live_as_long_as_the_setting_says(way: Direction) -> None:
    task_id = way.send("add", 2, 3)
    way.pair.both(task_id)
    assert 0 < way.pair.place.redis("TTL", f"own_celery-task-meta-{task_id}") <= 60


def test_retries_links_and_waiting(way: Direction) -> None:
    assert way.succeed("again", 1, 0.1) == [way.worker, 1]
    child = way.run("sends", way.producer).children[0]
    assert way.pair.both(child).value == 3


def test_a_call_to_an_exchange(other_pair: Pair) -> None:
    task_id = other_pair.celery.send("where", exchange="celeriac", routing_key="celeriac")
    assert other_pair.both(task_id).value == "celeriac"


@pytest.mark.parametrize("producer", ["celery", "celeriac"])
def test_the_lists_have_the_names_that_the_settings_give(other_pair: Pair, producer: SideName) -> None:
    queue = f"unread-{producer}"
    for priority in (4, 5, 9):
        other_pair.clients[producer].send("add", 1, 2, queue=queue, priority=priority)
    place = other_pair.place
    assert (place.redis("LLEN", f"own:{queue}"), place.redis("LLEN", f"own:{queue}:5")) == (1, 2)


def test_every_key_has_the_prefix(other_pair: Pair) -> None:
    assert other_pair.both(other_pair.celery.send("add", 1, 2, queue="celeriac")).value == 3
    keys = other_pair.place.redis("KEYS", "*")
    assert [key for key in keys if not key.startswith((b"own:", b"own_"))] == []
