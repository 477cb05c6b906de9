"""Captured retries: the message that replaces a retried one is the one Celery sent."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac.message import Message
from celeriac.protocol import Changes, Invocation, parse_iso, read_invocation, retry_message

Loader = Callable[[str], list[Message]]

RETRIES = [
    "redis/worker_message/retry.json",
    "redis/worker_message/retry_countdown.json",
    "redis/worker_message/retry_twice_countdown.json",
    "redis/worker_message/retry_exhausted.json",
    "redis/worker_message/retry_options.json",
    "versions/5.3.6/redis/worker_message/retry_countdown.json",
    "versions/5.5.3/redis/worker_message/retry_countdown.json",
    "versions/5.6.2/redis/worker_message/retry_countdown.json",
]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read(message: Message) -> Invocation:
    return read_invocation(message, accept=["json"], inflated_size_limit=10**6)


def retry(earlier: Message, later: Message) -> Message:
    """Retry `earlier` at the time at which Celery made `later` of it."""
    eta, expires = later.headers["eta"], later.headers["expires"]
    now = NOW
    if expires is not None:
        now = parse_iso(expires) - timedelta(milliseconds=int(later.properties["expiration"]))
    return retry_message(
        earlier,
        read(earlier),
        Changes(),
        retries=later.headers["retries"],
        eta=parse_iso(eta) if eta is not None else None,
        now=now,
        size_limit=10**6,
    )


def kept_properties(message: Message) -> dict[str, Any]:
    # `origin` among the properties is a side effect of how Celery calls its producer; the header says it already
    dropped = ("delivery_info", "delivery_tag", "body_encoding", "origin")
    return {name: value for name, value in message.properties.items() if name not in dropped}


@pytest.mark.parametrize("name", RETRIES)
def test_a_retry_is_the_message_that_celery_sends(name: str, messages: Loader) -> None:
    captured = messages(name)
    of_one_task = [message for message in captured if message.headers["id"] == captured[0].headers["id"]]
    assert len(of_one_task) > 1
    for earlier, later in itertools.pairwise(of_one_task):
        built = retry(earlier, later)
        assert built.headers == later.headers
        assert list(built.headers) == list(later.headers)
        assert kept_properties(built) == kept_properties(later)
        assert built.body == later.body
        assert (built.content_type, built.content_encoding) == (later.content_type, later.content_encoding)


def test_the_mark_of_a_redelivery_is_not_carried_into_the_retry(messages: Loader) -> None:
    [message] = messages("redis/worker_message/retry_of_redelivered.json")
    assert message.headers["redelivered"] is True  # Celery carries it on, as if the sender had set it
    assert read(message).custom == {}
    built = retry_message(message, read(message), Changes(), retries=2, now=NOW, size_limit=10**6)
    assert "redelivered" not in built.headers


def test_a_protocol_1_message_comes_back_as_protocol_2(messages: Loader) -> None:
    [message] = messages("redis/message_v1/headers.json")
    invocation = read(message)
    built = retry_message(message, invocation, Changes(), retries=1, now=NOW, size_limit=10**6)
    again = read(built)
    assert again.protocol == 2
    assert (again.task, again.id, again.args, again.kwargs) == (
        invocation.task,
        invocation.id,
        invocation.args,
        invocation.kwargs,
    )
    assert again.custom == invocation.custom
    assert again.headers["argsrepr"] == "(2, 3)"
    assert again.headers["parent_id"] == invocation.id
    assert again.retries == 1
