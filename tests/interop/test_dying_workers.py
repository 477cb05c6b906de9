"""What a worker of Celery's leaves behind when it ends or dies, and what becomes of it beside Celeriac's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.environments import Environment

from interop.pairs import wait_until
from interop.sides import QUIET, SOLO, Place
from servers.redis import RedisServer


@pytest.fixture
def place(interop_server: RedisServer, celery_environment: Environment, tmp_path: Path) -> Iterator[Place]:
    """A database of the test's own: a Celery peer restores what dead workers held for all queues of a database."""
    place = Place(interop_server, 2, celery_environment, tmp_path)
    yield place
    place.redis("FLUSHDB")


def test_what_a_killed_celery_worker_held_is_left_alone_until_a_celery_peer_restores_it(place: Place) -> None:
    key = uuid.uuid4().hex
    with place.celery() as celery, place.celeriac() as celeriac:
        with place.worker("celery", ["celery"], *SOLO) as worker:
            task_id = celery.send("late", key, queue="celery")
            assert place.journal.take(key) == ["celery"]
            worker.kill()
        [held] = place.redis("HVALS", "unacked")
        with place.worker("celeriac", ["celery"], "-c", "1"):
            assert celeriac.get(celery.send("where", queue="celery")).value == "celeriac"
            assert place.redis("HVALS", "unacked") == [held]
            assert place.redis("ZCARD", "unacked_index") == 1
            place.journal.open(key)
            celery.call("restore")
            assert place.journal.take(key) == ["celeriac"]
            assert celery.get(task_id) == celeriac.get(task_id)
            assert celeriac.look(task_id).value == "celeriac"
    assert place.redis("EXISTS", "unacked", "unacked_index") == 0


def test_what_a_celery_worker_hands_back_a_celeriac_worker_runs(place: Place) -> None:
    """One after the other: while both wait for work, Celery's is quicker to take back what it has handed back."""
    key = uuid.uuid4().hex
    with place.celery() as celery, place.celeriac() as celeriac:
        task_id = celery.send("refuses", "celery", key, queue="celery")
        with place.worker("celery", ["celery"], *SOLO):
            assert place.journal.take(key, 2) == ["celery", "celery"]
        with place.worker("celeriac", ["celery"], "-c", "1"):
            assert celeriac.get(task_id).value == "celeriac"
            assert celery.get(task_id).value == "celeriac"


def test_what_a_stopped_celery_worker_had_fetched_is_run_as_redelivered(place: Place) -> None:
    key = uuid.uuid4().hex
    with place.celery() as celery, place.celeriac() as celeriac:
        with place.worker("celery", ["celery"], *QUIET) as worker:
            running = celery.send("late", key, queue="celery")
            assert place.journal.take(key) == ["celery"]
            fetched = [celeriac.send("context", number, queue="celery") for number in range(3)]
            wait_until(lambda: place.redis("HLEN", "unacked") == 4, "one runs and three are fetched ahead")
            worker.ask_to_stop()
            place.journal.open(key)
            worker.wait_end()
        assert celeriac.get(running).value == "celery"
        assert place.redis("LLEN", "celery") == 3
        restored = [json.loads(raw) for raw in place.redis("LRANGE", "celery", 0, -1)]
        with place.worker("celeriac", ["celery"], "-c", "1"):
            for task_id in fetched:
                seen = celery.get(task_id).value
                assert (seen["side"], seen["headers"]) == ("celeriac", None)
                assert seen["delivery_info"]["redelivered"] is True
    assert [envelope["headers"]["redelivered"] for envelope in restored] == [True] * 3
