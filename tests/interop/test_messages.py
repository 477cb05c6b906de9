"""The same calls by both producers: what stands in Redis then is the same, key by key, and as it was captured."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from scripts.environments import Environment

from celeriac.serialization import decode, decompress
from interop.calls import CALLS, form_of, is_for_later, make_call
from interop.sides import CeleriacClient, CeleryClient, Client, Place
from interop.tasks import declare_captured
from servers.redis import RedisServer

CAPTURES: Final = Path(__file__).resolve().parents[1] / "wire" / "captures" / "redis" / "message"


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
    place.redis("FLUSHDB")
    make_call(client, capture)
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
    if is_for_later(capture):
        assert ours.pop("stored in") == "due"  # until it is due; Celery has its workers keep it
        del theirs["stored in"]
    assert plain(ours) == plain(theirs)
