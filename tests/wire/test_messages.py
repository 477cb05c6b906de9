"""Every captured task message is read, and is built again from what was read: the same headers, properties and body."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from celeriac.message import Message
from celeriac.protocol import Invocation, read_invocation, task_message
from celeriac.protocol.options import MessageOptions
from celeriac.serialization import decode, decompress

ALL = ("json", "msgpack", "yaml", "pickle")
LIMIT = 16 * 1024 * 1024
CAPTURES = Path(__file__).with_name("captures")
TRANSPORT = ("delivery_info", "delivery_tag", "body_encoding")

Loader = Callable[[str], list[Message]]


def names(*patterns: str) -> list[str]:
    found = sorted(path for pattern in patterns for path in CAPTURES.glob(pattern))
    assert found
    return [str(path.relative_to(CAPTURES)) for path in found]


PROTOCOL_2 = names("*/message/*.json", "*/worker_message/*.json", "versions/*/redis/*message/*.json")
PROTOCOL_1 = names("*/message_v1/*.json")


def read(message: Message) -> Invocation:
    return read_invocation(message, accept=ALL, inflated_size_limit=LIMIT)


def body_of(message: Message) -> Any:
    body = message.body
    if "compression" in message.headers:
        body = decompress(body, message.headers["compression"], limit=LIMIT)
    return plain(decode(body, message.content_type, "", accept=ALL))


def plain(value: object) -> object:
    """NaN is not equal to itself; its repr is."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def properties_of(message: Message) -> dict[str, Any]:
    return {name: value for name, value in message.properties.items() if name not in TRANSPORT}


def options_of(invocation: Invocation, message: Message) -> MessageOptions:
    """Say what the sender must have asked for."""
    fields, properties = invocation.headers, properties_of(message)
    own = {"correlation_id", "reply_to", "delivery_mode", "priority", "expiration"}
    options: MessageOptions = {
        "serializer": message.content_type,
        "compression": message.headers.get("compression"),
        "eta": invocation.eta,
        "expires": invocation.expires,
        "retries": invocation.retries,
        "time_limit": invocation.time_limit,
        "soft_time_limit": invocation.soft_time_limit,
        "headers": {k: v for k, v in message.headers.items() if k in invocation.custom or k == "redelivered"},
        "properties": {name: value for name, value in properties.items() if name not in own},
        "callbacks": invocation.callbacks,
        "errbacks": invocation.errbacks,
        "chain": invocation.chain,
        "chord": invocation.chord,
        "root_id": fields["root_id"],
        "parent_id": fields["parent_id"],
        "group": fields["group"],
        "shadow": fields["shadow"],
        "ignore_result": fields["ignore_result"],
        "replaced_task_nesting": fields["replaced_task_nesting"],
        "stamped_headers": fields["stamped_headers"],
        "stamps": fields["stamps"],
        "origin": fields["origin"],
        "priority": properties.get("priority"),
        "reply_to": properties["reply_to"],
        "delivery_mode": properties["delivery_mode"],
    }
    if invocation.expires is not None:
        options["now"] = invocation.expires - timedelta(milliseconds=int(properties["expiration"]))
    return options


@pytest.mark.parametrize("name", PROTOCOL_2)
def test_a_protocol_2_message_is_read_and_built_again(name: str, messages: Loader) -> None:
    for message in messages(name):
        invocation = read(message)
        assert invocation.protocol == 2
        assert invocation.id == message.headers["id"]
        assert invocation.task == message.headers["task"]

        built = task_message(
            task=invocation.task,
            task_id=invocation.id,
            args=invocation.args,
            kwargs=invocation.kwargs,
            size_limit=LIMIT,
            group_index=invocation.headers["group_index"],
            argsrepr=invocation.headers["argsrepr"],
            kwargsrepr=invocation.headers["kwargsrepr"],
            **options_of(invocation, message),
        )

        naive = name.endswith("eta_naive.json")  # we write the offset that the text leaves to the reader
        assert built.headers == message.headers | ({"eta": built.headers["eta"]} if naive else {})
        assert list(built.headers) == list(message.headers)
        assert built.properties == {"priority": 0} | properties_of(message)
        assert body_of(built) == body_of(message)
        assert (built.content_type, built.content_encoding) == (message.content_type, message.content_encoding)
        if message.content_type == "application/json" and "compression" not in message.headers:
            assert built.body == message.body


@pytest.mark.parametrize("name", PROTOCOL_1)
def test_a_protocol_1_message_is_read(name: str, messages: Loader) -> None:
    for message in messages(name):
        body = body_of(message)
        invocation = read(message)
        assert invocation.protocol == 1
        assert (invocation.task, invocation.id) == (body["task"], body["id"])
        assert plain(invocation.args) == body["args"]
        assert plain(invocation.kwargs) == body["kwargs"]
        assert invocation.retries == body["retries"]
        assert [invocation.time_limit, invocation.soft_time_limit] == body["timelimit"]
        assert invocation.headers["group"] == body["group"]
        assert invocation.headers["group_index"] == body["group_index"]
        assert invocation.callbacks == body["callbacks"]
        assert invocation.errbacks == body["errbacks"]
        assert invocation.chord == body["chord"]
        assert (invocation.eta is None) == (body["eta"] is None)
        assert (invocation.expires is None) == (body["expires"] is None)
        assert len(invocation.headers) == 19


def test_custom_headers_of_protocol_1_stay_in_the_message_headers(messages: Loader) -> None:
    [message] = messages("redis/message_v1/headers.json")
    assert read(message).custom == message.headers


def test_custom_headers_are_told_from_those_of_the_protocol(messages: Loader) -> None:
    [message] = messages("redis/message/headers.json")
    assert read(message).custom == {
        "x-tenant": "acme",
        "n": 1,
        "f": 1.5,
        "flag": True,
        "none": None,
        "lst": [1, "a"],
        "obj": {"k": "v"},
    }
