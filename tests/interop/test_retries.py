"""Retries on each side, and messages that one side retries and the other one runs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from interop.pairs import Direction, Pair
from interop.sides import SideName

BOOMS = {"celery": "CeleryBoom", "celeriac": "CeleriacBoom"}


def test_retry_with_a_countdown(direction: Direction) -> None:
    assert direction.succeed("again", 2, 0.1) == [direction.worker, 2]


def test_retry_without_a_countdown(direction: Direction) -> None:
    assert direction.succeed("again", 3, 0) == [direction.worker, 3]


def test_automatic_retry(direction: Direction) -> None:
    assert direction.succeed("automatic", 2) == [direction.worker, 2]


def test_both_see_the_state_between_two_tries(direction: Direction) -> None:
    task_id = direction.send("again", 1, 1.0)
    for side in direction.pair.clients:
        seen = direction.pair.wait_state(side, task_id, "RETRY")
        assert seen.error == (BOOMS[direction.worker], ("not yet",))
        assert "Retry" in (seen.traceback or "")
    assert direction.pair.both(task_id).value == [direction.worker, 1]


def test_no_more_retries(direction: Direction) -> None:
    seen = direction.run("exhausted", True)
    assert (seen.state, seen.error) == ("FAILURE", (BOOMS[direction.worker], ("for good", 1)))


def test_no_more_retries_without_an_exception(direction: Direction) -> None:
    seen = direction.run("exhausted", False)
    assert seen.state == "FAILURE"
    assert seen.error is not None
    assert seen.error[0] == "MaxRetriesExceededError"


def test_a_message_that_one_side_retries_runs_on_the_other(direction: Direction) -> None:
    task_id = direction.send("move", direction.producer, headers={"x-tenant": "acme"}, time_limit=30, shadow="shown")
    seen = direction.pair.both(task_id).value
    assert (seen["side"], seen["retries"], seen["id"]) == (direction.producer, 1, task_id)
    assert (seen["root_id"], seen["parent_id"]) == (task_id, task_id)
    assert (seen["headers"], seen["timelimit"], seen["shadow"]) == ({"x-tenant": "acme"}, [30, None], "shown")
    assert seen["delivery_info"]["routing_key"] == direction.producer


def test_a_message_of_protocol_1_that_celeriac_retries_runs_on_celery(pair: Pair) -> None:
    task_id = pair.celery.send("move", "celery", settings={"task_protocol": 1}, queue="celeriac")
    seen = pair.both(task_id).value
    assert (seen["side"], seen["retries"], seen["id"]) == ("celery", 1, task_id)


@pytest.mark.parametrize("producer", ["celery", "celeriac"])
def test_what_celeriac_retries_later_goes_to_both_sides_when_it_is_due(pair: Pair, producer: SideName) -> None:
    """It waits in the broker, and goes to the queue that both take from when it is due."""
    count, key = 12, uuid.uuid4().hex
    client, eta = pair.clients[producer], (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    ids = [client.send("retried_then_gated", key, "shared", eta, queue="celeriac") for _ in range(count)]
    assert set(pair.place.journal.take(key, 4)) == {"celery", "celeriac"}  # two on either side
    pair.place.journal.open(key, count)
    ends = [pair.both(task_id) for task_id in ids]
    assert [(end.state, end.error) for end in ends if end.state != "SUCCESS"] == []
    assert len(pair.place.journal.rest(key)) == count - 4
