"""Properties are written as py-amqp writes them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import amqp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.storage.rabbitmq.framing import Content
from celeriac.storage.rabbitmq.tables import Unusual, decode_properties, encode_properties

NAMES = st.text(max_size=60)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),  # with others RabbitMQ ends the connection
    st.text(max_size=300),
    st.binary(max_size=9),
)
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner), st.dictionaries(NAMES, inner)), max_leaves=9)
TEXTS = [
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
]
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys([*TEXTS, "app_id", "cluster_id"], NAMES | st.none()),
        "application_headers": st.dictionaries(NAMES, VALUES),
        "delivery_mode": st.integers(0, 255),
        "priority": st.integers(0, 255),
        "timestamp": st.integers(0, 2**64 - 1),
    },
)


@given(PROPERTIES)
def test_they_are_the_same_bytes(properties: dict[str, Any]) -> None:
    theirs = amqp.Message(b"", **properties)._serialize_properties()
    assert Content(b"", **properties)._serialize_properties() == theirs


@pytest.mark.parametrize(
    "value", [Decimal("1.5"), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), type("Text", (str,), {})("x")]
)
def test_rarer_types_are_left_to_py_amqp(value: object) -> None:
    headers = {"a": value}
    with pytest.raises(Unusual):
        encode_properties({"application_headers": headers})
    theirs = amqp.Message(b"", application_headers=headers)._serialize_properties()
    assert Content(b"", application_headers=headers)._serialize_properties() == theirs


@pytest.mark.parametrize("headers", [{"x" * 256: 1}, {"a": 2**63}, {"a": object()}, {"a": float("nan")}])
def test_what_has_no_form_is_an_error(headers: dict[str, Any]) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - of any kind, as py-amqp's are
        Content(b"", application_headers=headers).encode()


@given(PROPERTIES)
def test_they_are_read_as_py_amqp_reads_them(properties: dict[str, Any]) -> None:
    data = amqp.Message(b"", **properties)._serialize_properties()
    theirs, ours = amqp.Message(b""), Content(b"")
    ends = [message._load_properties(60, b"before" + data + b"after", 6) for message in (theirs, ours)]
    assert ours.damage is None
    assert repr(ours.properties) == repr(theirs.properties)  # NaN is not equal to itself
    assert ends == [6 + len(data)] * 2


def test_what_is_no_text_is_bytes_as_with_py_amqp() -> None:
    data = encode_properties({"application_headers": {"a": "xy"}}).replace(b"xy", b"\xff\xfe")
    content = Content(b"")
    content._load_properties(60, data, 0)
    assert content.properties == {"application_headers": {"a": b"\xff\xfe"}}


@given(st.binary(max_size=80))
def test_garbage_is_damage_and_no_error(data: bytes) -> None:
    content = Content(b"")
    content._load_properties(60, data, 0)
    assert isinstance(content.properties, dict)


def test_rarer_types_are_read_by_py_amqp() -> None:
    data = amqp.Message(b"", application_headers={"a": Decimal("1.5")})._serialize_properties()
    with pytest.raises(Unusual):
        decode_properties(data, 0)
    content = Content(b"")
    content._load_properties(60, data, 0)
    assert content.properties == {"application_headers": {"a": Decimal("1.5")}}
