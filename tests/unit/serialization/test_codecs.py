"""The registry, the gate of accepted types, and the serialisers other than JSON."""

from __future__ import annotations

import builtins
import contextlib
import pickle
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import CeleriacError, ContentDisallowed, DecodeError, EncodeError
from celeriac.serialization import content_type_of, decode, encode, register, registry, serializer_names

TYPES = {
    "json": ("application/json", "utf-8"),
    "msgpack": ("application/x-msgpack", "binary"),
    "yaml": ("application/x-yaml", "utf-8"),
    "pickle": ("application/x-python-serialize", "binary"),
}
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def back(value: object, serializer: str) -> Any:
    encoded = encode(value, serializer)
    return decode(encoded.body, encoded.content_type, encoded.content_encoding, accept=[serializer])


@pytest.mark.parametrize("name", TYPES)
def test_names_and_types_are_kombus(name: str) -> None:
    assert name in serializer_names()
    assert content_type_of(name) == content_type_of(TYPES[name][0]) == TYPES[name][0]
    encoded = encode([1], name)
    assert (encoded.content_type, encoded.content_encoding) == TYPES[name]


@given(VALUES)
def test_plain_values_come_back_from_msgpack(value: object) -> None:
    assert back(value, "msgpack") == value


@given(VALUES)
def test_plain_values_come_back_from_pickle(value: object) -> None:
    assert back(value, "pickle") == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("abc \u00e9", max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
        max_leaves=6,
    )
)
def test_plain_values_come_back_from_yaml(value: object) -> None:
    assert back(value, "yaml") == value


def test_dates_and_bytes_are_native_in_yaml() -> None:
    assert back([date(2030, 1, 2), b"\xff"], "yaml") == [date(2030, 1, 2), b"\xff"]


def test_pickle_keeps_types() -> None:
    value = (datetime(2030, 1, 1, tzinfo=UTC), {1, 2}, Decimal(1))
    assert back(value, "pickle") == value
    assert encode(value, "pickle").body[:2] == b"\x80\x04"  # what Celery's peers write


class Colour(IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


def test_msgpack_takes_subclasses_as_what_they_are() -> None:
    assert back((Colour.RED, Text("a"), bytearray(b"b"), {Text("k"): True}), "msgpack") == [1, "a", b"b", {"k": True}]


@pytest.mark.parametrize("value", [{1}, datetime.now(UTC), Decimal(1), object(), {1: 2}, 2**64, "\ud800", {None: 1}])
def test_msgpack_refuses_what_its_peers_would_not_read(value: object) -> None:
    with pytest.raises(EncodeError):
        encode(value, "msgpack")


def test_extension_types_of_msgpack_are_refused() -> None:
    with pytest.raises(DecodeError, match="extension type 5"):
        decode(b"\xd4\x05\x00", "application/x-msgpack", "binary", accept=["msgpack"])


@pytest.mark.parametrize("accept", [["json"], ("application/json",), {"json", "yaml"}, frozenset({"application/json"})])
def test_what_is_accepted_may_be_named_either_way(accept: Sequence[str]) -> None:
    assert decode(b"[1]", "application/json", "utf-8", accept=accept) == [1]


def test_nothing_is_read_that_is_not_accepted() -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("it was unpickled",))

    body = pickle.dumps(Trap())
    with pytest.raises(ContentDisallowed, match="add 'pickle' to accept_content"):
        decode(body, "application/x-python-serialize", "binary", accept=["json"])
    with pytest.raises(ContentDisallowed, match=r"accept_content: nothing"):
        decode(b"1", "application/json", "utf-8", accept=[])
    with pytest.raises(ContentDisallowed, match="no such serialiser"):
        decode(b"1", "application/x-nope", "", accept=["json", "application/x-nope"])
    with pytest.raises(ContentDisallowed, match="exactly 'application/json'"):
        decode(b"1", "application/json; charset=utf-8", "", accept=["json"])


def test_an_unknown_serializer_is_named_with_those_there_are() -> None:
    with pytest.raises(EncodeError, match="no serializer 'xml': there are json, msgpack, yaml, pickle"):
        encode(1, "xml")


@pytest.mark.parametrize("name", ["json", "msgpack", "yaml"])
@given(body=st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_decode_error(name: str, body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(body, TYPES[name][0], "", accept=[name])


@pytest.mark.parametrize("body", [b"", b"garbage", b"\x80\x04.", b"cnowhere\nNothing\n.", pickle.dumps(1)[:-1]])
def test_damaged_pickles_are_decode_errors(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(body, "application/x-python-serialize", "binary", accept=["pickle"])


@pytest.mark.parametrize("body", [b"2026-13-45", b"!!python/object:os.system {}", b"{a: [", b"? {a: 1}\n: 2", b"\xff"])
def test_damaged_yaml_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not valid YAML"):
        decode(body, "application/x-yaml", "utf-8", accept=["yaml"])


@pytest.mark.parametrize("name", ["json", "msgpack", "yaml", "pickle"])
def test_values_that_raise_while_they_are_written(name: str) -> None:
    class Broken:
        def __json__(self) -> object:
            raise LookupError("no database")

        def __reduce__(self) -> str:
            raise LookupError("no database")

    with pytest.raises(EncodeError):
        encode([Broken()], name)


@pytest.mark.parametrize("name", ["json", "msgpack", "yaml"])
def test_deep_nesting_is_an_error_and_no_crash(name: str) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError):
        encode(deep, name)
    body = {"json": b"[" * 100_000, "msgpack": b"\x91" * 100_000, "yaml": b"[" * 5_000}[name]
    with pytest.raises(DecodeError):
        decode(body, TYPES[name][0], "", accept=[name])


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("_BY_NAME", "_BY_CONTENT_TYPE"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))


@pytest.mark.usefixtures("own_registry")
def test_a_serializer_can_be_added() -> None:
    def broken(body: bytes) -> Any:
        raise KeyError(body)

    register("text", lambda value: str(value).encode(), lambda body: body.decode(), "text/plain")
    assert back(5, "text") == "5"
    register("text", lambda value: str(value).encode(), broken, "text/plain")
    with pytest.raises(DecodeError, match="not valid text"):
        back(5, "text")


def test_a_missing_library_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    importer = builtins.__import__

    def without_yaml(name: str, *args: Any, **kwargs: Mapping[str, Any]) -> Any:
        if name == "yaml":
            raise ImportError(name)
        return importer(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_yaml)
    for use in (lambda: encode(1, "yaml"), lambda: decode(b"1", "application/x-yaml", "", accept=["yaml"])):
        with pytest.raises(CeleriacError, match=r'pip install "celeriac\[yaml\]"'):
            use()
