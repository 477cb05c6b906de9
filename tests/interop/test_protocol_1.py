"""Messages of protocol 1, as old producers send them, on the way to a Celeriac worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interop.pairs import Pair, wait_until
from interop.seen import Seen


def run(pair: Pair, name: str, *args: Any, **options: Any) -> Seen:
    task_id = pair.celery.send(name, *args, settings={"task_protocol": 1}, queue="celeriac", **options)
    return pair.both(task_id)


def test_the_message_is_of_protocol_1(pair: Pair) -> None:
    pair.celery.send("add", 1, 2, settings={"task_protocol": 1}, queue="nobody")
    wait_until(lambda: pair.place.transport.waiting("nobody") == 1, "the message is there")
    found = pair.place.transport.headers_of_next("nobody")
    assert found.keys() <= {"x-delivery-count"}  # a quorum queue adds it


def test_arguments(pair: Pair) -> None:
    seen = run(pair, "arguments", 1, "\u2603", kwargs={"a": [1]})
    assert (seen.state, seen.value) == ("SUCCESS", repr(((1, "\u2603"), [("a", [1])])))


@pytest.mark.parametrize("options", [{"serializer": "pickle"}, {"serializer": "msgpack"}, {"compression": "zlib"}])
def test_codecs(pair: Pair, options: dict[str, str]) -> None:
    assert run(pair, "echo", ["x" * 500], **options).value == ["x" * 500]


def test_context(pair: Pair) -> None:
    context = run(pair, "context", headers={"x-tenant": "acme"}, time_limit=30, soft_time_limit=20, retries=2).value
    assert (context["side"], context["timelimit"], context["retries"]) == ("celeriac", [30, 20], 2)
    assert context["headers"] == {"x-tenant": "acme"}


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_countdown(pair: Pair, serializer: str) -> None:
    before = datetime.now(UTC)
    seen = run(pair, "add", 1, 2, countdown=0.5, serializer=serializer)
    assert seen.value == 3
    assert datetime.fromisoformat(str(seen.date_done)) >= before + timedelta(seconds=0.5)


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_expired(pair: Pair, serializer: str) -> None:
    seen = run(pair, "add", 1, 2, expires=datetime.now(UTC) - timedelta(hours=1), serializer=serializer)
    assert (seen.state, seen.error) == ("REVOKED", ("TaskRevokedError", ("expired",)))


def test_retries(pair: Pair) -> None:
    assert run(pair, "again", 2, 0.1).value == ["celeriac", 2]


def test_failure(pair: Pair) -> None:
    assert run(pair, "fails", "x", 1).error == ("CeleriacBoom", ("x", 1))
