"""The captured calls, made again with the same arguments: the messages are equal, reprs and times included."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from celeriac.message import Message
from celeriac.protocol import MessageTemplate, parse_iso, task_message
from celeriac.protocol.options import MessageOptions
from celeriac.serialization import decode, decompress

Loader = Callable[[str], list[Message]]


def signature(task: str, *args: object) -> dict[str, Any]:
    return {
        "task": task,
        "args": list(args),
        "kwargs": {},
        "options": {},
        "subtask_type": None,
        "immutable": False,
    }


JSON_TYPES = (
    datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2030, 1, 2, 3, 4, 5),  # noqa: DTZ001 - naive on purpose
    date(2030, 1, 2),
    time(3, 4, 5),
    UUID("11111111-1111-4111-8111-111111111111"),
    Decimal("1.50"),
    b"text bytes",
    b"\xff\x00",
    (1, 2),
    1.0,
    math.inf,
    math.nan,
)

#: capture, args, kwargs, options
CALLS: list[tuple[str, Any, dict[str, Any], MessageOptions]] = [
    ("delay", (2, 3), {}, {}),
    ("no_args", (), {}, {}),
    ("kwargs", (1,), {"a": "x", "b": [1, 2]}, {}),
    ("unicode_args", ("h\u00e9llo \u2603 \U0001f600",), {"k": "\u65e5\u672c"}, {}),
    ("long_args", ("x" * 5000, list(range(500))), {"deep": {"a": {"b": {"c": {"d": 1}}}}}, {}),
    ("serializer_json_types", JSON_TYPES, {}, {}),
    ("serializer_msgpack", (1, "a"), {"k": [1.5, None, True]}, {"serializer": "msgpack"}),
    ("serializer_pickle", (1, "a"), {"k": [1.5, None, True]}, {"serializer": "pickle"}),
    ("serializer_yaml", [1, "a"], {"k": [1.5, None, True]}, {"serializer": "yaml"}),
    ("compression_zlib", (2, 3), {}, {"compression": "zlib"}),
    ("compression_gzip", (2, 3), {}, {"compression": "gzip"}),
    ("compression_bzip2", (2, 3), {}, {"compression": "bzip2"}),
    ("compression_lzma", (2, 3), {}, {"compression": "lzma"}),
    ("eta_utc", (2, 3), {}, {"eta": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)}),
    ("eta_offset", (2, 3), {}, {"eta": datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))}),
    ("eta_naive", (2, 3), {}, {"eta": datetime(2030, 1, 2, 3, 4, 5, 678000)}),  # noqa: DTZ001 - on purpose
    ("expires_past", (2, 3), {}, {"expires": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)}),
    ("shadow", (2, 3), {}, {"shadow": "display.name"}),
    ("retries", (2, 3), {}, {"retries": 2}),
    ("time_limits", (2, 3), {}, {"time_limit": 30, "soft_time_limit": 20}),
    ("time_limits_task", (), {}, {"time_limit": 5, "soft_time_limit": 1}),
    ("ignore_result", (2, 3), {}, {"ignore_result": True}),
    ("send_task", (1,), {"k": 2}, {"ignore_result": None}),
    ("priority_0", (2, 3), {}, {"priority": 0}),
    ("priority_4", (2, 3), {}, {"priority": 4}),
    ("priority_9", (2, 3), {}, {"priority": 9}),
    ("reply_to", (2, 3), {}, {"reply_to": "my-replies"}),
    ("delivery_mode_transient", (2, 3), {}, {"delivery_mode": 1}),
    ("replaced_task_nesting", (2, 3), {}, {"replaced_task_nesting": 1}),
    ("ids", (2, 3), {}, {"root_id": "root", "parent_id": "parent", "group": "grp"}),
    ("link", (2, 3), {}, {"callbacks": [signature("wire.add", 10)]}),
    ("link_error", (), {}, {"errbacks": [signature("wire.errback_new")]}),
    ("stamps", (2, 3), {}, {"stamped_headers": ["tenant", "trace"], "stamps": {"tenant": "acme", "trace": ["a", "b"]}}),
    (
        "headers",
        (2, 3),
        {},
        {
            "headers": {
                "x-tenant": "acme",
                "n": 1,
                "f": 1.5,
                "flag": True,
                "none": None,
                "lst": (1, "a"),
                "obj": {"k": "v"},
            }
        },
    ),
    (
        "extra_properties",
        (2, 3),
        {},
        {
            "properties": {
                "message_id": "mid",
                "timestamp": 1700000000,
                "app_id": "me",
                "type": "job",
                "user_id": "guest",
            }
        },
    ),
]


def comparable(message: Message) -> tuple[dict[str, Any], dict[str, Any], str, str]:
    transport = ("delivery_info", "delivery_tag", "body_encoding")
    properties = {name: value for name, value in message.properties.items() if name not in transport}
    return message.headers, properties, message.content_type, message.content_encoding


def body_of(message: Message) -> str:
    body = message.body
    if "compression" in message.headers:
        body = decompress(body, message.headers["compression"], limit=10**6)
    return repr(decode(body, message.content_type, "", accept=[message.content_type]))


@pytest.mark.parametrize(("capture", "args", "kwargs", "options"), CALLS, ids=[call[0] for call in CALLS])
def test_the_same_call_gives_the_same_message(
    capture: str, args: Any, kwargs: dict[str, Any], options: MessageOptions, messages: Loader
) -> None:
    [captured] = messages(f"redis/message/{capture}.json")
    template = MessageTemplate(task=captured.headers["task"], size_limit=10**6, **(of_the_process(captured) | options))
    built = template.message(captured.headers["id"], args, kwargs, group_index=captured.headers["group_index"])
    assert comparable(built) == comparable(captured)
    assert list(built.headers) == list(captured.headers)
    assert body_of(built) == body_of(captured)
    if capture == "serializer_pickle":
        assert built.body == captured.body


def of_the_process(captured: Message) -> MessageOptions:
    """What the capturing process put in by itself."""
    return {
        "reply_to": captured.properties["reply_to"],
        "origin": captured.headers["origin"],
        "ignore_result": captured.headers["ignore_result"],
    }


@pytest.mark.parametrize(
    ("capture", "seconds", "milliseconds"),
    [("expires_int", 60, "60000"), ("expires_float", 0.5, "500"), ("expires_and_countdown", 600, "600000")],
)
def test_expires_in_seconds_is_a_time_and_a_number_of_milliseconds(
    capture: str, seconds: float, milliseconds: str, messages: Loader
) -> None:
    [captured] = messages(f"redis/message/{capture}.json")
    expires = parse_iso(captured.headers["expires"])
    eta = captured.headers["eta"]
    options: MessageOptions = {
        **of_the_process(captured),
        "eta": parse_iso(eta) if eta else None,
        "expires": expires,
        "now": expires - timedelta(seconds=seconds),
    }
    task_id = captured.headers["id"]
    built = task_message(task="wire.add", task_id=task_id, args=(2, 3), kwargs={}, size_limit=10**6, **options)
    assert comparable(built) == comparable(captured)
    assert built.properties["expiration"] == milliseconds
    assert list(built.properties)[:4] == ["correlation_id", "reply_to", "delivery_mode", "expiration"]


def test_reprs_that_the_caller_gave_are_sent_as_they_are(messages: Loader) -> None:
    [captured] = messages("redis/message/argsrepr.json")
    built = task_message(
        task="wire.echo",
        task_id=captured.headers["id"],
        args=(1,),
        kwargs={"k": 2},
        size_limit=10**6,
        argsrepr="(secret)",
        kwargsrepr="{hidden}",
        **of_the_process(captured),
    )
    assert built.headers == captured.headers
    assert built.body == captured.body


def test_a_group_differs_only_by_index_id_and_arguments(messages: Loader) -> None:
    first, second = messages("redis/message/group2.json")
    options: MessageOptions = {**of_the_process(first), "group": first.headers["group"]}
    template = MessageTemplate(task="wire.add", size_limit=10**6, **options)
    for captured, args in ((first, (1, 1)), (second, (2, 2))):
        index = captured.headers["group_index"]
        built = template.message(captured.headers["id"], args, {}, group_index=index)
        assert comparable(built) == comparable(captured)
        assert built.body == captured.body
