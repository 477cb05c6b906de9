"""JSON: what msgspec reads is what the standard library reads, and envelopes are kombu's."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import ModuleType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError
from celeriac.serialization.json import decode_json, encode_json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "L"]))  # lone surrogates
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)
ZONES = st.none() | st.just(UTC) | st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
TYPED = (
    st.datetimes(timezones=ZONES) | st.dates() | st.times() | st.decimals(allow_nan=False) | st.uuids() | st.binary()
)
#: Text that is often nearly JSON.
JSON_LIKE = st.text('[]{}",:0123456789eE+-.\\u dfNaInftyrulsb_\u00e9\n', max_size=30)


@given(VALUES)
def test_reading_gives_what_the_standard_library_gives(value: object) -> None:
    text = json.dumps(value)
    assert encode_json(value) == text.encode()
    assert repr(decode_json(text.encode())) == repr(json.loads(text))


@given(VALUES)
def test_reading_text_of_other_writers(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        body = text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        return
    assert repr(decode_json(body)) == repr(json.loads(text))


def result_of(read: Callable[[Any], Any], source: bytes | str) -> str:
    try:
        return repr(read(source))
    except ValueError:
        return "refused"


@given(JSON_LIKE)
@example("1e400")
@example('"\\ud800"')
@example("-0")
@example("[1,]")
@example("\ufeff1")
@example('{"a": 1, "a": 2}')
@example("1" * 400)
@example("1" * 5000)
def test_reading_fails_where_the_standard_library_fails(text: str) -> None:
    assert result_of(decode_json, text.encode()) == result_of(json.loads, text)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_value_or_an_error(body: bytes) -> None:
    with contextlib.suppress(ValueError, DecodeError):
        decode_json(body)


@given(st.lists(TYPED))
def test_typed_values_come_back(values: list[object]) -> None:
    back = decode_json(encode_json(values))
    assert back == values
    assert [type(item) for item in back] == [type(item) for item in values]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC), '"datetime", "__value__": "2030-01-02T03:04:05.000006+00:00"'),
        (date(2030, 1, 2), '"date", "__value__": "2030-01-02"'),
        (time(3, 4, 5), '"time", "__value__": "03:04:05"'),
        (Decimal("1.50"), '"decimal", "__value__": "1.50"'),
        (UUID(int=1), '"uuid", "__value__": {"hex": "00000000000000000000000000000001"}'),
        ("\u00e9".encode(), '"bytes", "__value__": "\\u00e9"'),
        (b"\xff\x00", '"base64", "__value__": "/wA="'),
    ],
)
def test_envelopes_are_kombus(value: object, text: str) -> None:
    assert encode_json(value).decode() == f'{{"__type__": {text}}}'


@pytest.mark.parametrize("escaped", ["\\u005f_type__", "__\\u0074ype__", "__t\\u0079pe__", "__ty\\u0070e_\\u005F"])
def test_an_envelope_whose_key_is_escaped_is_an_envelope(escaped: str) -> None:
    body = f'[{{"{escaped}": "date", "__value__": "2030-01-02"}}, "\\u00e9"]'.encode()
    assert decode_json(body) == [date(2030, 1, 2), "\u00e9"]


def test_only_exactly_the_two_keys_make_an_envelope() -> None:
    for fields in ({"__type__": "date"}, {"__type__": "date", "__value__": "2030-01-02", "x": 1}):
        assert decode_json(json.dumps(fields).encode()) == fields


@pytest.mark.parametrize(
    "envelope",
    [
        {"__type__": "complex", "__value__": "1"},
        {"__type__": ["date"], "__value__": "1"},
        {"__type__": None, "__value__": "1"},
        {"__type__": "date", "__value__": 5},
        {"__type__": "date", "__value__": "soon"},
        {"__type__": "datetime", "__value__": ""},
        {"__type__": "time", "__value__": None},
        {"__type__": "decimal", "__value__": "many"},
        {"__type__": "decimal", "__value__": 1.5},
        {"__type__": "uuid", "__value__": {"hex": "xyz"}},
        {"__type__": "uuid", "__value__": {"bytes_le": "x"}},
        {"__type__": "uuid", "__value__": 5},
        {"__type__": "bytes", "__value__": 5},
        {"__type__": "bytes", "__value__": "\ud800"},
        {"__type__": "base64", "__value__": "abc"},
        {"__type__": "base64", "__value__": "\u00e9"},
    ],
)
def test_a_damaged_envelope_is_named(envelope: dict[str, object]) -> None:
    with pytest.raises(DecodeError, match="__type__"):
        decode_json(json.dumps([envelope]).encode())


class Point(NamedTuple):
    x: int
    y: int


class Colour(IntEnum):
    RED = 1


class Shape(StrEnum):
    ROUND = "round"


class Money:
    def __json__(self) -> object:
        return {"amount": Decimal(5)}


def test_what_else_is_written() -> None:
    assert encode_json((Point(1, 2), Colour.RED, Shape.ROUND, {1: None, None: True})) == (
        b'[[1, 2], 1, "round", {"1": null, "null": true}]'
    )
    assert decode_json(encode_json(Money())) == {"amount": Decimal(5)}
    assert encode_json([math.inf, -math.inf, math.nan]) == b"[Infinity, -Infinity, NaN]"


@pytest.mark.parametrize("value", [{1}, frozenset(), object(), 1j, {(1, 2): 3}, {b"k": 1}, bytearray(b"x"), range(3)])
def test_what_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode_json(value)


def test_a_circle_and_a_huge_integer_are_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(RecursionError):
        encode_json(circle)
    with pytest.raises(ValueError, match="digits"):
        encode_json(10**5000)


def test_lazy_texts_of_django_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Promise:
        def __str__(self) -> str:
            return "translated"

    module = ModuleType("django.utils.functional")
    module.Promise = Promise  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "django.utils.functional", module)
    assert encode_json([Promise()]) == b'["translated"]'
