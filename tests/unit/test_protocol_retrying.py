"""Retries with changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac.exceptions import EncodeError, MessageTooLarge
from celeriac.message import Message
from celeriac.protocol import Changes, Invocation, read_invocation, retry_message, task_message
from celeriac.protocol.options import MessageOptions

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LIMIT = 10_000


def received(options: MessageOptions | None = None, **kwargs: Any) -> Message:
    return task_message(
        task="add", task_id="id-1", args=(1, "a"), kwargs={"k": 1}, size_limit=LIMIT, **kwargs, **(options or {})
    )


def read(message: Message) -> Invocation:
    return read_invocation(message, accept=["json", "msgpack"], inflated_size_limit=LIMIT)


def retry(message: Message, *, eta: datetime | None = None, size_limit: int = LIMIT, **changes: Any) -> Message:
    return retry_message(message, read(message), Changes(**changes), retries=1, now=NOW, size_limit=size_limit, eta=eta)


def test_an_unchanged_body_is_sent_as_it_came() -> None:
    message = received({"compression": "zlib"})
    again = retry(message, size_limit=1)  # it was let in before
    assert again.body is message.body
    assert again.headers["compression"] == "application/x-gzip"


def test_other_arguments() -> None:
    message = received({"callbacks": [{"task": "x"}], "compression": "zlib"})
    invocation = read(retry(message, args=(2,), kwargs={"k": 2}))
    assert (invocation.args, invocation.kwargs) == ([2], {"k": 2})
    assert invocation.callbacks == [{"task": "x"}]
    assert (invocation.headers["argsrepr"], invocation.headers["kwargsrepr"]) == ("(2,)", "{'k': 2}")
    assert retry(message, args=(2,)).headers["compression"] == "application/x-gzip"


def test_reprs_that_hide_something_keep_hiding_it() -> None:
    again = retry(received(argsrepr="(secret)", kwargsrepr="{secret}"), args=("password",), kwargs={"k": "password"})
    assert (again.headers["argsrepr"], again.headers["kwargsrepr"]) == ("(secret)", "{secret}")


def test_other_options() -> None:
    expires = NOW + timedelta(minutes=1)
    again = retry(
        received({"time_limit": 5, "soft_time_limit": 4, "headers": {"a": 1, "b": 2}}),
        eta=NOW,
        expires=expires,
        soft_time_limit=3,
        priority=7,
        headers={"b": 3},
        serializer="msgpack",
        compression="bzip2",
    )
    assert again.headers["timelimit"] == [5, 3]
    assert again.headers["eta"] == "2030-01-01T00:00:00+00:00"
    assert again.headers["expires"] == "2030-01-01T00:01:00+00:00"
    assert again.properties["expiration"] == "60000"
    assert again.properties["priority"] == 7
    assert (again.headers["a"], again.headers["b"]) == (1, 3)
    assert again.content_type == "application/x-msgpack"
    assert again.headers["compression"] == "application/x-bz2"
    assert read(again).args == [1, "a"]


def test_what_a_transport_noted_is_dropped() -> None:
    message = received()
    message.properties |= {"delivery_info": {}, "delivery_tag": 1, "body_encoding": "base64", "expiration": "5"}
    message.headers |= {"x-death": [], "x-first-death-queue": "q", "redelivered": True, "x-celeriac-lane": "fast"}
    again = retry(message)
    assert set(again.properties) == {"correlation_id", "reply_to", "delivery_mode", "priority"}
    assert set(again.headers) - set(received().headers) == {"x-celeriac-lane"}


def test_the_received_message_is_left_as_it_was() -> None:
    message = received({"headers": {"a": 1}})
    before = dict(message.headers), dict(message.properties)
    again = retry(message, eta=NOW)
    again.headers["timelimit"][0] = 5
    assert (message.headers, message.properties) == before


def test_changes_that_can_not_be_sent() -> None:
    with pytest.raises(EncodeError, match=r"task 'add' can not be retried: args\[0\] is a set"):
        retry(received(), args=({1},))
    with pytest.raises(EncodeError, match=r"can not be retried: kwargs\['k'\] is a set"):
        retry(received(), kwargs={"k": {1}})
    with pytest.raises(MessageTooLarge, match="task 'add'"):
        retry(received(), args=("x" * LIMIT,))
    with pytest.raises(TypeError, match="the args of task add"):
        retry(received(), args="text")
