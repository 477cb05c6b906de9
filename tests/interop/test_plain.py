"""Plain calls from each side to the other: arguments, serialisers, compressions, headers, failures, limits."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from interop.pairs import EVERYWHERE, ON_REDIS, Direction, Pair

TEXT = "h\u00e9llo \u2603 \U0001f600 \u65e5\u672c"
MOMENT = datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


@EVERYWHERE
def test_a_call_runs_on_the_other_side_and_both_read_its_result(direction: Direction) -> None:
    seen = direction.run("add", 2, 3)
    assert (seen.state, seen.value, seen.error, seen.traceback) == ("SUCCESS", 5, None, None)
    assert seen.date_done is not None
    assert direction.succeed("where") == direction.worker


@EVERYWHERE
def test_keyword_arguments_and_text_of_all_kinds(direction: Direction) -> None:
    kwargs = {"x": TEXT, "y": [1, {"a": None}], TEXT: 1.5}
    assert direction.succeed("arguments", 1, TEXT, kwargs=kwargs) == repr(((1, TEXT), sorted(kwargs.items())))
    assert direction.succeed("echo", TEXT) == TEXT


@pytest.mark.parametrize(
    "value",
    [
        MOMENT,
        date(2030, 1, 2),
        uuid.UUID("11111111-1111-4111-8111-111111111111"),
        Decimal("1.50"),
        b"\xff\x00",
        [1, 2.5, True, None, {"k": []}],
        2**70,
        "",
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_json_go_there_and_back(direction: Direction, value: Any) -> None:
    assert direction.succeed("echo", value) == value


@pytest.mark.parametrize("serializer", ["json", "pickle", "msgpack", "yaml"])
def test_every_serialiser(direction: Direction, serializer: str) -> None:
    kwargs = {"k": [1.5, None, True], "text": TEXT}
    seen = direction.succeed("arguments", 1, "a", kwargs=kwargs, serializer=serializer)
    assert seen == repr(((1, "a"), sorted(kwargs.items())))


def test_pickled_values_that_only_pickle_carries(direction: Direction) -> None:
    assert direction.succeed("arguments", {1, 2}, 3 + 4j, serializer="pickle") == repr((({1, 2}, 3 + 4j), []))


@pytest.mark.parametrize("compression", ["zlib", "gzip", "bzip2", "lzma", "zstd", "brotli"])
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_every_compression(direction: Direction, compression: str, serializer: str) -> None:
    long = TEXT * 200
    assert direction.succeed("echo", long, compression=compression, serializer=serializer) == long


def test_what_a_task_sees_of_its_call(direction: Direction) -> None:
    task_id = direction.send(
        "context",
        1,
        headers={"x-tenant": "acme", "x-list": [1, "a"]},
        shadow="shown",
        time_limit=30,
        soft_time_limit=20,
        priority=4,
        expires=MOMENT,
        root_id="the-root",
        parent_id="the-parent",
        reply_to="replies",
    )
    seen = direction.pair.both(task_id).value
    assert (seen["side"], seen["id"], seen["correlation_id"]) == (direction.worker, task_id, task_id)
    assert (seen["root_id"], seen["parent_id"], seen["reply_to"]) == ("the-root", "the-parent", "replies")
    assert (seen["args"], seen["kwargs"], seen["shadow"], seen["retries"]) == ([1], {}, "shown", 0)
    assert (seen["timelimit"], seen["lang"]) == ([30, 20], "py")
    assert seen["headers"] == {"x-tenant": "acme", "x-list": [1, "a"]}
    assert datetime.fromisoformat(seen["expires"]) == MOMENT
    assert seen["delivery_info"] == {
        "exchange": "",
        "routing_key": direction.worker,
        "priority": 4,
        "redelivered": False,
    }


def test_a_failure_with_a_class_that_the_reader_can_not_import(direction: Direction) -> None:
    seen = direction.run("fails", "bo\u00f6m", 42)
    name = {"celery": "CeleryBoom", "celeriac": "CeleriacBoom"}[direction.worker]
    assert (seen.state, seen.value, seen.error) == ("FAILURE", None, (name, ("bo\u00f6m", 42)))
    assert seen.traceback is not None
    assert "raise side.boom" in seen.traceback


def test_a_failure_with_a_builtin_class(direction: Direction) -> None:
    seen = direction.run("raises", "bad", {"k": 1})
    assert (seen.state, seen.error) == ("FAILURE", ("ValueError", ("bad", {"k": 1})))


def test_arguments_that_do_not_fit(direction: Direction) -> None:
    task_id = direction.pair.clients[direction.producer].send_unchecked("add", 1, 2, 3, queue=direction.worker)
    seen = direction.pair.both(task_id)
    assert seen.state == "FAILURE"
    assert seen.error is not None
    assert seen.error[0] == "TypeError"


def test_a_task_that_the_worker_does_not_know(direction: Direction) -> None:
    seen = direction.run(f"only_{direction.producer}")
    assert seen.state == "FAILURE"
    assert seen.error is not None
    assert seen.error[0] == "NotRegistered"


def test_an_expired_call_is_revoked(direction: Direction) -> None:
    seen = direction.run("add", 1, 2, expires=datetime.now(UTC) - timedelta(hours=1))
    assert (seen.state, seen.error) == ("REVOKED", ("TaskRevokedError", ("expired",)))


def test_one_that_expires_later_runs(direction: Direction) -> None:
    assert direction.succeed("add", 1, 2, expires=600) == 3


def test_ignored_results_are_not_stored(direction: Direction) -> None:
    key = uuid.uuid4().hex
    ids = [direction.send("ignored", key), direction.send("where", key, ignore_result=True)]
    assert len(direction.pair.place.journal.take(key, 2)) == 2
    direction.succeed("add", 1, 1)
    assert [direction.pair.place.redis("EXISTS", f"celery-task-meta-{task_id}") for task_id in ids] == [0, 0]


def test_both_see_that_a_task_has_started(direction: Direction) -> None:
    key = uuid.uuid4().hex
    task_id = direction.send("gated", key)
    assert direction.pair.place.journal.take(key) == [direction.worker]
    for side in direction.pair.clients:
        seen = direction.pair.wait_state(side, task_id, "STARTED")
        assert set(seen.value) == {"pid", "hostname"}
    direction.pair.place.journal.open(key)
    assert direction.pair.both(task_id).value == direction.worker


def test_a_soft_time_limit_in_the_message(direction: Direction) -> None:
    assert direction.succeed("hurried", uuid.uuid4().hex, soft_time_limit=1, time_limit=10) == "cleaned up"


def test_a_hard_time_limit_in_the_message(direction: Direction) -> None:
    task_id = direction.send("hurried", uuid.uuid4().hex, time_limit=1)
    for client in direction.pair.clients.values():  # not compared: Celery stores it twice, at two times
        seen = client.get(task_id)
        assert (seen.state, seen.error) == ("FAILURE", ("TimeLimitExceeded", (1,)))


def test_what_a_task_sends_are_its_children(direction: Direction) -> None:
    seen = direction.run("sends", direction.producer)
    assert seen.children == (seen.value,)
    assert direction.pair.both(seen.children[0]).value == 3


def test_a_rejected_task_fails(direction: Direction) -> None:
    seen = direction.run("rejects")
    assert (seen.state, seen.error) == ("FAILURE", ("Reject", ("not wanted", False)))


def test_a_history_of_losses_that_came_through_celery_still_counts(pair: Pair) -> None:
    """A Celery worker carries the header along; it is no business of the task's."""
    losses = [{"at": 1.0, "worker": "w", "reason": "r"}]
    seen = pair.both(pair.celery.send("context", queue="celeriac", headers={"x-celeriac-losses": losses})).value
    assert seen["delivery_info"]["redelivered"] is True
    assert seen["headers"] is None


@ON_REDIS
def test_bindings_are_in_both_of_celerys_sets(pair: Pair) -> None:
    member = b"celeriac\x06\x16\x06\x16celeriac"
    assert member in pair.place.redis("SMEMBERS", "_kombu.binding.celeriac")
    assert member in pair.place.redis("SMEMBERS", "_kombu.binding_permanent.celeriac")


def test_a_call_to_an_exchange_reaches_a_queue_that_only_celeriac_has_declared(pair: Pair) -> None:
    task_id = pair.celery.send("where", exchange="celeriac", routing_key="celeriac")
    assert pair.both(task_id).value == "celeriac"
