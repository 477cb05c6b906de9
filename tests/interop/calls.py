"""Calls whose messages were captured, and what stays of a message when that is taken out which no two have alike.

Both sides make them by the same words. Knows no transport.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from interop.pairs import signature
from interop.sides import Client

MOMENT: Final = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ID: Final = "11111111-1111-4111-8111-111111111111"
JSON_TYPES: Final = (
    datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2030, 1, 2, 3, 4, 5),  # noqa: DTZ001 - naive on purpose
    date(2030, 1, 2),
    time(3, 4, 5),
    UUID(ID),
    Decimal("1.50"),
    b"text bytes",
    b"\xff\x00",
    (1, 2),
    1.0,
    math.inf,
    math.nan,
)
HEADERS: Final = {
    "x-tenant": "acme",
    "n": 1,
    "f": 1.5,
    "flag": True,
    "none": None,
    "lst": [1, "a"],
    "obj": {"k": "v"},
}
PROPERTIES: Final = {
    "message_id": "mid",
    "timestamp": 1700000000,
    "app_id": "me",
    "type": "job",
    "user_id": "guest",
}
Target = tuple[str, tuple[Any, ...], dict[str, Any]]
MIXED: Final[Target] = ("wire.echo", (1, "a"), {"k": [1.5, None, True]})
ADD: Final[Target] = ("wire.add", (2, 3), {})

#: Name of the capture; task, args and kwargs; options.
CALLS: Final[dict[str, tuple[Target, dict[str, Any]]]] = {
    "delay": (ADD, {}),
    "no_args": (("wire.noop", (), {}), {}),
    "kwargs": (("wire.echo", (1,), {"a": "x", "b": [1, 2]}), {}),
    "unicode_args": (("wire.echo", ("h\u00e9llo \u2603 \U0001f600",), {"k": "\u65e5\u672c"}), {}),
    "long_args": (
        ("wire.echo", ("x" * 5000, list(range(500))), {"deep": {"a": {"b": {"c": {"d": 1}}}}}),
        {},
    ),
    "serializer_json_types": (("wire.echo", JSON_TYPES, {}), {"serializer": "json"}),
    "serializer_msgpack": (MIXED, {"serializer": "msgpack"}),
    "serializer_pickle": (MIXED, {"serializer": "pickle"}),
    "serializer_yaml": (MIXED, {"serializer": "yaml"}),
    **{f"compression_{name}": (ADD, {"compression": name}) for name in ("zlib", "gzip", "bzip2", "lzma")},
    "countdown": (ADD, {"countdown": 30}),
    "countdown_float": (ADD, {"countdown": 1.5}),
    "countdown_zero": (ADD, {"countdown": 0}),
    "eta_utc": (ADD, {"eta": MOMENT}),
    "eta_offset": (ADD, {"eta": datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))}),
    "eta_naive": (ADD, {"eta": datetime(2030, 1, 2, 3, 4, 5, 678000)}),  # noqa: DTZ001 - naive on purpose
    "expires_int": (ADD, {"expires": 60}),
    "expires_float": (ADD, {"expires": 0.5}),
    "expires_datetime": (ADD, {"expires": MOMENT}),
    "expires_past": (ADD, {"expires": datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)}),
    "expires_and_countdown": (ADD, {"expires": 600, "countdown": 30}),
    **{f"priority_{number}": (ADD, {"priority": number}) for number in (0, 4, 9)},
    "queue": (ADD, {"queue": "other"}),
    "headers": (ADD, {"headers": HEADERS}),
    "extra_properties": (ADD, PROPERTIES),
    "argsrepr": (("wire.echo", (1,), {"k": 2}), {"argsrepr": "(secret)", "kwargsrepr": "{hidden}"}),
    "ids": (ADD, {"root_id": "root", "parent_id": "parent", "group_id": "grp", "group_index": 7}),
    "task_id": (ADD, {"task_id": ID}),
    "shadow": (ADD, {"shadow": "display.name"}),
    "retries": (ADD, {"retries": 2}),
    "time_limits": (ADD, {"time_limit": 30, "soft_time_limit": 20}),
    "time_limits_task": (("wire.soft", (), {}), {}),
    "ignore_result": (ADD, {"ignore_result": True}),
    "ignore_result_task": (("wire.ignored", (), {}), {}),
    "reply_to": (ADD, {"reply_to": "my-replies"}),
    "delivery_mode_transient": (ADD, {"delivery_mode": 1}),
    "send_task": (("other.lang.task", (1,), {"k": 2}), {}),
    "link": (ADD, {"link": [signature("wire.add", 10)]}),
    "link_multi": (ADD, {"link": [signature("wire.add", 10), signature("wire.add", 1, 1, immutable=True)]}),
    "link_options": (ADD, {"link": [signature("wire.add", 10, queue="other", countdown=5, priority=3)]}),
}


def make_call(client: Client, capture: str) -> None:
    """Let a producer make the call."""
    (name, args, kwargs), options = CALLS[capture]
    client.send(name, *args, kwargs=kwargs, **options)


def is_for_later(capture: str) -> bool:
    """The call has a countdown or an eta, which are in the future."""
    options = CALLS[capture][1]
    return bool(options.get("countdown")) or "eta" in options


_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([345])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def form_of(value: Any) -> Any:
    """What stays of an id, of a process, and of a moment near now."""
    if not isinstance(value, str) or value == ID or value.startswith(("2030-", "2020-")):
        return value
    found = _UUID.fullmatch(value)
    if found:
        return f"a UUID of version {found[1]}"
    if re.fullmatch(r"gen\d+@\S+", value):
        return "gen<pid>@<host>"
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", value):
        return "a moment in UTC"
    return value
