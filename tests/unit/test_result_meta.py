"""The result meta: what the captures do not show."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError, MessageTooLarge, NotRegistered, RemoteError
from celeriac.result_meta import decode_meta, encode_meta, traceback_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class OnlyHere(Exception):
    """Can be pickled and not unpickled."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")


@given(VALUES)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_value_comes_back(compression: str | None, value: object) -> None:
    meta = encode_meta(task_id="1", status="SUCCESS", result=value, compression=compression)
    assert decode_meta(meta, accept=["json"])["result"] == value


def test_fields_stand_in_celerys_order() -> None:
    meta = encode_meta(
        task_id="1",
        status="SUCCESS",
        result=5,
        children=[],
        date_done=NOW,
        group_id="g",
        parent_id="p",
        extended={"name": "add", "args": [2, 3]},
    )
    assert list(json.loads(meta)) == [
        "status",
        "result",
        "traceback",
        "children",
        "date_done",
        "group_id",
        "parent_id",
        "name",
        "args",
        "task_id",
    ]


def test_an_exception_as_the_value_of_a_success_is_refused() -> None:
    with pytest.raises(EncodeError, match="the result is a ValueError"):
        encode_meta(task_id="1", status="SUCCESS", result=ValueError())


def test_the_part_that_can_not_be_stored_is_named() -> None:
    with pytest.raises(EncodeError, match=r"the result\[0\]\['a'\] is a set, which json can not carry: pass a list"):
        encode_meta(task_id="1", status="SUCCESS", result=[{"a": {1}}])


def test_a_custom_state_keeps_its_meta() -> None:
    meta = encode_meta(task_id="1", status="PROGRESS", result={"n": 1})
    assert decode_meta(meta, accept=["json"])["result"] == {"n": 1}


def test_pickle_stores_exceptions_as_they_are_where_it_can() -> None:
    def stored(exc: Exception) -> object:
        meta = encode_meta(task_id="1", status="FAILURE", result=exc, serializer="pickle")
        return decode_meta(meta, serializer="pickle", accept=["pickle"])["result"]

    back = stored(ValueError({1}))
    assert isinstance(back, ValueError)
    assert back.args == ({1},)
    assert isinstance(stored(OnlyHere(5, "x")), OnlyHere)
    # a Celery client has no class celeriac.exceptions.NotRegistered to unpickle
    meta = encode_meta(task_id="1", status="FAILURE", result=NotRegistered("x"), serializer="pickle")
    assert b"celeriac" not in meta
    assert isinstance(stored(NotRegistered("x")), NotRegistered)


def test_pickled_results_are_read_only_if_pickle_is_accepted() -> None:
    meta = encode_meta(task_id="1", status="SUCCESS", result=5, serializer="pickle")
    with pytest.raises(ContentDisallowed):
        decode_meta(meta, serializer="pickle", accept=["json"])


@pytest.mark.parametrize(
    "meta",
    [
        b"",
        b"nope",
        b"[1]",
        b"{}",
        b'{"status": 5}',
        b"\x00celery-compressed\x00",
        b"\x00celery-compressed\x00application/x-gzip\x00nope",
        b"\x00celery-compressed\x00\xff\x00nope",
    ],
)
def test_what_is_no_meta_is_a_decode_error(meta: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_meta(meta, accept=["json"])


@given(st.binary(max_size=50))
def test_any_bytes_are_a_meta_or_a_decode_error(meta: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_meta(meta, accept=["json"])


def test_a_bomb_is_refused() -> None:
    meta = b"\x00celery-compressed\x00application/x-gzip\x00" + zlib.compress(b" " * 1_000_000)
    with pytest.raises(MessageTooLarge):
        decode_meta(meta, accept=["json"], inflated_size_limit=1000)


def test_a_missing_failure_is_an_exception_too() -> None:
    assert decode_meta(b'{"status": "FAILURE", "task_id": "1"}', accept=["json"])["result"] is None
    meta = b'{"status": "FAILURE", "result": "boom", "task_id": "1"}'
    assert isinstance(decode_meta(meta, accept=["json"])["result"], RemoteError)


def test_a_traceback_is_pythons_own() -> None:
    with pytest.raises(ValueError, match="boom") as caught:
        int("boom")
    text = traceback_text(caught.value)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: invalid literal for int() with base 10: 'boom'\n")


def test_a_very_long_traceback_is_cut_in_the_middle() -> None:
    text = traceback_text(ValueError("x" * 200_000 + "end"))
    assert len(text) < 70_000
    assert text.startswith("ValueError: xxx")
    assert "characters left out" in text
    assert text.endswith("end\n")
