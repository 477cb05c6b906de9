"""The same calls by both producers: what they send to RabbitMQ is the same, type by type, and as it was captured."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from scripts.environments import Environment

from celeriac.brokers.rabbitmq.delays import strip_bits
from celeriac.serialization import decode, decompress
from interop.amqp_wire import Published, Recorder, read_header
from interop.calls import CALLS, form_of, is_for_later, make_call
from interop.pairs import wait_until
from interop.sides import CeleriacClient, CeleryClient, Client, Place
from interop.tasks import declare_captured
from interop.transports import RabbitTransport
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

CAPTURES: Final = Path(__file__).resolve().parents[1] / "wire" / "captures" / "amqp" / "message"


@pytest.fixture(scope="module")
def recorder(rabbit_server: RabbitServer) -> Iterator[Recorder]:
    with Recorder(rabbit_server.port) as recorder:
        yield recorder


@pytest.fixture(scope="module")
def place(
    interop_server: RedisServer,
    rabbit_server: RabbitServer,
    recorder: Recorder,
    celery_environment: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Place:
    transport = RabbitTransport(rabbit_server, "classic", recorder.port)
    return Place(interop_server, 5, celery_environment, tmp_path_factory.mktemp("amqp"), transport=transport)


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


def published(recorder: Recorder, client: Client, capture: str) -> Published:
    """Let a producer make the call; the one message that it publishes."""
    recorder.requests.clear()
    make_call(client, capture)
    wait_until(recorder.published, "a message")  # Celery does not wait for a confirm
    [message] = recorder.published()
    return message


def captured(capture: str) -> Published:
    [message] = json.loads((CAPTURES / f"{capture}.json").read_text())["messages"]
    properties, headers = read_header(base64.b64decode(message["header_frame"]))
    if capture == "serializer_yaml":  # that call was made with a list of arguments
        headers["argsrepr"] = ("S", "(1, 'a')")
    body = message["body"]
    raw = base64.b64decode(body["base64"]) if isinstance(body, dict) else body.encode()
    return Published(message["exchange"], message["routing_key"], properties, headers, raw)


def plain(message: Published) -> dict[str, Any]:
    """The message with its body decoded, and with what is different in every message replaced by its form."""
    headers, properties = dict(message.headers), dict(message.properties)
    task_id = headers["id"]
    assert headers["root_id"] == (task_id if headers["root_id"][1] != "root" else ("S", "root"))
    assert properties["correlation_id"] == task_id[1]
    for name in ("id", "root_id", "origin", "eta", "expires"):
        kind, value = headers[name]
        headers[name] = (kind, form_of(value))
    properties["correlation_id"] = form_of(properties["correlation_id"])
    _allow_for_known_differences(headers, properties)
    body = message.body
    if "compression" in headers:
        body = decompress(body, headers["compression"][1], limit=10**6)
    content_type = properties["content_type"]
    decoded = repr(decode(body, content_type, properties["content_encoding"], accept=[content_type]))
    return {"headers": headers, "properties": properties, "body": decoded}


def _allow_for_known_differences(headers: dict[str, Any], properties: dict[str, Any]) -> None:
    # Celery sends the name of a queue for results that it only makes with rpc://; Celeriac leaves it empty.
    if properties["reply_to"] == "" or form_of(properties["reply_to"]) == "a UUID of version 3":
        del properties["reply_to"]
    # Celery leaves the priority out where a queue is named.
    properties.setdefault("priority", 0)
    # Celery sends an eta without timezone as it is, and reads it as UTC; Celeriac says so.
    if headers["eta"][1] == "2030-01-02T03:04:05.678000":
        headers["eta"] = ("S", "2030-01-02T03:04:05.678000+00:00")
    # What is left of the time until it expires, in milliseconds: some have passed already.
    if "expiration" in properties:
        left = int(properties["expiration"])
        properties["expiration"] = round(left, -2) if left < 10**7 else "years"


def moment_of(message: Published, header: str) -> datetime:
    found = datetime.fromisoformat(message.headers[header][1])
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@pytest.mark.parametrize("capture", CALLS)
def test_celeriac_publishes_what_was_captured(recorder: Recorder, celeriac: CeleriacClient, capture: str) -> None:
    message = published(recorder, celeriac, capture)
    if is_for_later(capture):
        assert message.headers.pop("x-celeriac-due")[0] == "d"
    ours, theirs = plain(message), plain(captured(capture))
    assert ours == theirs
    assert list(ours["headers"]) == list(theirs["headers"])


@pytest.mark.parametrize("capture", CALLS)
def test_celeriac_publishes_what_celery_publishes(
    recorder: Recorder, celery: CeleryClient, celeriac: CeleriacClient, capture: str
) -> None:
    theirs, ours = published(recorder, celery, capture), published(recorder, celeriac, capture)
    for name in ("eta", "expires"):
        if theirs.headers[name][1]:
            assert abs(moment_of(theirs, name) - moment_of(ours, name)) < timedelta(seconds=10)
    if is_for_later(capture):  # into the ladder that Celery has for other exchanges than direct ones
        del ours.headers["x-celeriac-due"]
        assert re.fullmatch(r"celery_delayed_\d+", ours.exchange)
        assert (len(ours.routing_key.split(".")), strip_bits(ours.routing_key)) == (29, theirs.routing_key)
    else:
        assert (ours.exchange, ours.routing_key) == (theirs.exchange, theirs.routing_key)
    assert plain(ours) == plain(theirs)
