"""The same calls by both producers: what stands in Redis then is the same, key by key, and as it was captured."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from scripts.environments import Environment

from celeriac.serialization import decode, decompress
from interop.pairs import signature
from interop.sides import CeleriacClient, CeleryClient, Client, Place
from interop.tasks import declare_captured
from servers.redis import RedisServer

CAPTURES: Final = Path(__file__).resolve().parents[1] / "wire" / "captures" / "redis" / "message"
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


@pytest.fixture(scope="module")
def place(
    interop_server: RedisServer, celery_environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    return Place(interop_server, 4, celery_environment, tmp_path_factory.mktemp("messages"))


@pytest.fixture(scope="module")
def celery(place: Place) -> Iterator[CeleryClient]:
    with place.celery() as client:
        yield client


@pytest.fixture(scope="module")
def celeriac(place: Place) -> Iterator[CeleriacClient]:
    with place.celeriac() as client:
        untyped: Any = client.app
        declare_captured(untyped)
        yield client


def published(place: Place, client: Client, capture: str) -> dict[str, Any]:
    """Let a producer make the call; the one envelope that it has stored, wherever that is."""
    (name, args, kwargs), options = CALLS[capture]
    place.redis("FLUSHDB")
    client.send(name, *args, kwargs=kwargs, **options)
    found = []
    for key in place.redis("KEYS", "*"):
        if place.redis("TYPE", key) == b"list":
            found += [(key, raw) for raw in place.redis("LRANGE", key, 0, -1)]
        elif key.startswith(b"celeriac:due:"):
            found += [(b"due", raw) for raw in place.redis("ZRANGE", key, 0, -1)]
    [(key, raw)] = found
    envelope: dict[str, Any] = json.loads(raw[raw.index(b"{") :])
    return {"stored in": key.decode(), **envelope}


def captured(capture: str) -> dict[str, Any]:
    [raw] = json.loads((CAPTURES / f"{capture}.json").read_text())["messages"]
    envelope: dict[str, Any] = json.loads(raw)
    if capture == "serializer_yaml":  # that call was made with a list of arguments
        envelope["headers"]["argsrepr"] = "(1, 'a')"
    return envelope


def plain(envelope: dict[str, Any]) -> dict[str, Any]:
    """The envelope with its body decoded, and with what is different in every message replaced by its form."""
    headers, properties = dict(envelope["headers"]), dict(envelope["properties"])
    task_id = headers["id"]
    assert headers["root_id"] == (task_id if headers["root_id"] != "root" else "root")
    assert properties["correlation_id"] == task_id
    headers |= {name: form_of(headers[name]) for name in ("id", "root_id", "origin", "eta", "expires")}
    properties["correlation_id"] = form_of(properties["correlation_id"])
    _allow_for_known_differences(headers, properties)
    body = base64.b64decode(envelope["body"])
    if "compression" in headers:
        body = decompress(body, headers["compression"], limit=10**6)
    content_type = envelope["content-type"]
    decoded = repr(decode(body, content_type, envelope["content-encoding"], accept=[content_type]))
    return {**envelope, "headers": headers, "properties": properties, "body": decoded}


def _allow_for_known_differences(headers: dict[str, Any], properties: dict[str, Any]) -> None:
    """Where Celeriac's messages say the same in another way."""
    # Any text will do that is never given twice; Celery takes a new UUID for each.
    assert isinstance(properties.pop("delivery_tag"), str)
    # Celery sends the name of a queue for results that it only makes with rpc://; Celeriac leaves it empty.
    if properties["reply_to"] == "" or form_of(properties["reply_to"]) == "a UUID of version 3":
        del properties["reply_to"]
    # Celery sends an eta without timezone as it is, and reads it as UTC; Celeriac says so.
    if headers["eta"] == "2030-01-02T03:04:05.678000":
        headers["eta"] += "+00:00"
    # What is left of the time until it expires, in milliseconds: some have passed already.
    if "expiration" in properties:
        left = int(properties["expiration"])
        properties["expiration"] = round(left, -2) if left < 10**7 else "years"
    # Options that Celery leaves among the properties by mistake, too.
    properties.pop("argsrepr", None)
    properties.pop("kwargsrepr", None)


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


def moment_of(envelope: dict[str, Any], header: str) -> datetime:
    found = datetime.fromisoformat(envelope["headers"][header])
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@pytest.mark.parametrize("capture", CALLS)
def test_celeriac_publishes_what_was_captured(place: Place, celeriac: CeleriacClient, capture: str) -> None:
    ours = plain(published(place, celeriac, capture))
    del ours["stored in"]
    theirs = plain(captured(capture))
    assert ours == theirs
    assert list(ours["headers"]) == list(theirs["headers"])


@pytest.mark.parametrize("capture", CALLS)
def test_celeriac_publishes_what_celery_publishes(
    place: Place, celery: CeleryClient, celeriac: CeleriacClient, capture: str
) -> None:
    theirs, ours = published(place, celery, capture), published(place, celeriac, capture)
    for name in ("eta", "expires"):
        if theirs["headers"][name]:
            assert abs(moment_of(theirs, name) - moment_of(ours, name)) < timedelta(seconds=10)
    if CALLS[capture][1].get("countdown") or "eta" in CALLS[capture][1]:
        assert ours.pop("stored in") == "due"  # until it is due; Celery has its workers keep it
        del theirs["stored in"]
    assert plain(ours) == plain(theirs)
