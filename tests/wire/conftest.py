"""Reads the captures: a test names a file and gets its messages or stored values."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from celeriac.message import Message

CAPTURES = Path(__file__).with_name("captures")


def to_bytes(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return str(value).encode()


def redis_message(raw: str) -> Message:
    """Do what the Redis transport does with a list item."""
    envelope = json.loads(raw)
    properties = envelope.get("properties", {})
    body = envelope["body"]
    return Message(
        envelope.get("headers") or {},
        properties,
        base64.b64decode(body) if properties.get("body_encoding") == "base64" else body.encode(),
        envelope.get("content-type", ""),
        envelope.get("content-encoding", ""),
    )


def amqp_message(capture: dict[str, Any]) -> Message:
    properties = dict(capture["properties"])
    content_type, encoding = properties.pop("content_type"), properties.pop("content_encoding")
    return Message(capture["headers"], properties, to_bytes(capture["body"]), content_type, encoding)


@pytest.fixture
def messages() -> Callable[[str], list[Message]]:
    """Give the messages of a capture file, named relative to `captures/`."""

    def load(name: str) -> list[Message]:
        found = json.loads((CAPTURES / name).read_text())["messages"]
        return [redis_message(item) if isinstance(item, str) else amqp_message(item) for item in found]

    return load


@pytest.fixture
def metas() -> Callable[[str], list[bytes]]:
    """Give the stored results of a capture file, named relative to `captures/`."""

    def load(name: str) -> list[bytes]:
        return [to_bytes(value) for value in json.loads((CAPTURES / name).read_text())["metas"]]

    return load


@pytest.fixture
def parse_redis() -> Callable[[str], Message]:
    """Give the function that reads a list item of Redis."""
    return redis_message
