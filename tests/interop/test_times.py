"""Work for later: who keeps it, and who gets it when its time has come."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from interop.pairs import ON_RABBITMQ, Direction, Pair, wait_until
from interop.transports import TransportName

#: Seconds of a delay that can be seen. RabbitMQ delays by whole seconds: the rest of the last one waits in a worker.
SOON: Final[Mapping[TransportName, int]] = {"redis": 1, "classic": 3, "quorum": 3}


@pytest.mark.parametrize("wait", ["countdown", "eta"])
def test_a_celery_producers_future_work_waits_for_its_time_on_a_celeriac_worker(pair: Pair, wait: str) -> None:
    seconds = SOON[pair.place.transport.name]
    due = datetime.now(UTC) + timedelta(seconds=seconds)
    when: Any = {"countdown": seconds, "eta": due}[wait]
    task_id = pair.celery.send("context", queue="celeriac", **{wait: when})
    wait_until(lambda: pair.place.transport.parked("celeriac") == 1, "the task is parked in the broker")
    seen = pair.both(task_id)
    assert seen.value["side"] == "celeriac"
    assert datetime.fromisoformat(str(seen.date_done)) >= due
    assert datetime.fromisoformat(seen.value["eta"]) - due < timedelta(seconds=1)


def test_future_work_of_a_celeriac_producer_goes_to_both_sides_when_it_is_due(pair: Pair) -> None:
    """It is kept beside the queue, where Celery does not see it, and comes over in time."""
    count = 20
    key = uuid.uuid4().hex
    due = datetime.now(UTC) + timedelta(seconds=SOON[pair.place.transport.name])
    ids = [pair.celeriac.send("gated", key, queue="shared", eta=due) for _ in range(count)]
    assert pair.place.transport.parked("shared") == count
    assert pair.place.transport.waiting("shared") == 0
    ran = pair.place.journal.take(key, 4)  # two on either side: nobody gets through the gate
    assert set(ran) == {"celery", "celeriac"}
    pair.place.journal.open(key, count)
    for task_id in ids:
        assert datetime.fromisoformat(str(pair.both(task_id).date_done)) >= due
    assert len(pair.place.journal.rest(key)) == count - 4


def test_an_eta_in_the_past_runs_at_once(direction: Direction) -> None:
    assert direction.succeed("add", 1, 2, eta=datetime.now(UTC) - timedelta(hours=1)) == 3


def test_what_expires_before_it_is_due_is_revoked(direction: Direction) -> None:
    queue = "shared" if direction.producer == "celeriac" else direction.worker
    seen = direction.run("add", 1, 2, countdown=0.6, expires=0.3, queue=queue)
    assert (seen.state, seen.error) == ("REVOKED", ("TaskRevokedError", ("expired",)))


@ON_RABBITMQ
@pytest.mark.parametrize("countdown", [0.5, 1.5])
def test_each_sides_future_work_reaches_a_queue_that_only_the_other_side_takes_from(
    direction: Direction, countdown: float
) -> None:
    """On Redis a queue needs a Celeriac worker for that."""
    due = datetime.now(UTC) + timedelta(seconds=countdown)
    seen = direction.run("where", eta=due)
    assert (seen.state, seen.value) == ("SUCCESS", direction.worker)
    assert datetime.fromisoformat(str(seen.date_done)) >= due


@ON_RABBITMQ
def test_what_was_delayed_can_be_retried_by_either_side(direction: Direction) -> None:
    """Celery retries by the exchange and the routing key that the message came with: those of the delay."""
    assert direction.succeed("again", 1, 0.1, countdown=1.5) == [direction.worker, 1]
