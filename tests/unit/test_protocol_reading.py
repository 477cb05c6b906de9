"""Messages on their way in: damaged, hostile and odd ones."""

from __future__ import annotations

import contextlib
import json
import math
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import ContentDisallowed, DecodeError, InvalidTaskError, MessageTooLarge
from celeriac.message import Message
from celeriac.protocol import Changes, Invocation, header_expires, read_invocation, retry_message
from celeriac.protocol.reading import HEADER_DEFAULTS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2026-01-01T00:00:00Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*HEADER_DEFAULTS, "compression", "x-tenant"])
EMBED = st.dictionaries(st.sampled_from(["callbacks", "errbacks", "chain", "chord"]), JSON)
DOCUMENTED = (InvalidTaskError, ContentDisallowed, DecodeError, MessageTooLarge)


def read(headers: dict[str, Any], body: object = ((), {}, {}), limit: int = 10_000) -> Invocation:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_invocation(Message(headers, {}, encoded), accept=["json"], inflated_size_limit=limit)


def minimal(**headers: object) -> dict[str, Any]:
    return {"task": "add", "id": "1", **headers}


@given(
    st.dictionaries(NAMES, JSON),
    JSON | st.tuples(JSON, JSON, EMBED | JSON) | st.dictionaries(NAMES | st.sampled_from(["args", "kwargs"]), JSON),
)
def test_any_headers_and_body_are_an_invocation_or_a_documented_error(headers: dict[str, Any], body: object) -> None:
    with contextlib.suppress(*DOCUMENTED):
        check_sound(read(headers, body))


@given(st.dictionaries(NAMES, JSON))
def test_any_headers_beside_a_good_body(headers: dict[str, Any]) -> None:
    with contextlib.suppress(*DOCUMENTED):
        check_sound(read({**headers, "task": "add", "id": "1"}))


@given(st.binary(max_size=50), st.sampled_from([None, "application/x-gzip", "application/x-bz2", "application/zstd"]))
def test_any_bytes_as_a_body(body: bytes, compression: str | None) -> None:
    with contextlib.suppress(*DOCUMENTED):
        check_sound(read(minimal(compression=compression), body))


def check_sound(invocation: Invocation) -> None:
    """Whatever was read can be relied upon, and be retried."""
    assert invocation.id
    assert invocation.task
    assert list(invocation.headers) == list(HEADER_DEFAULTS)
    for name in ("shadow", "group", "parent_id", "argsrepr", "kwargsrepr", "origin"):
        assert isinstance(invocation.headers[name], str | None)
    assert isinstance(invocation.headers["root_id"], str)
    assert isinstance(invocation.headers["stamps"], dict)
    assert isinstance(invocation.retries, int)
    for moment in (invocation.eta, invocation.expires):
        assert moment is None or moment.tzinfo is not None
    for links in (invocation.callbacks, invocation.errbacks, invocation.chain):
        assert links is None or all(isinstance(link, dict) for link in links)
    message = Message({}, {}, b"")
    invocation.protocol = 1  # so that it is written anew
    retried = retry_message(
        message,
        invocation,
        Changes(serializer="json"),
        retries=1,
        now=datetime(2026, 1, 1, tzinfo=UTC),
        size_limit=10**6,
    )
    assert retried.headers["id"] == invocation.id


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (minimal(retries="many"), "header 'retries' must be a number, not 'many'"),
        (minimal(retries=math.inf), "header 'retries' must be a number, not inf"),
        (minimal(retries=[1]), r"header 'retries' must be a number, not \[1\]"),
        (minimal(timelimit=5), r"'timelimit' must be \[hard, soft\] in seconds or null, not 5"),
        (minimal(timelimit=[-1, None]), r"not \[-1, None\]"),
        (minimal(timelimit=[math.inf, None]), r"not \[inf, None\]"),
        (minimal(timelimit=["5", None]), r"not \['5', None\]"),
        (minimal(group=5), "header 'group' must be a text, not 5"),
        (minimal(root_id={}), "header 'root_id' must be a text"),
        (minimal(group_index="x"), "header 'group_index' must be a number"),
        (minimal(stamps=[1]), "header 'stamps' must be an object"),
        (minimal(stamped_headers="tenant"), "header 'stamped_headers' must be a list of names"),
        (minimal(compression=5), "header 'compression' must be a text"),
        (minimal(id=""), "the task id must be a text, not ''"),
        (minimal(id=True), "the task id must be a text, not True"),
        (minimal(task=5), "the task name must be a text, not 5"),
    ],
)
def test_headers_that_can_not_be_right_are_named(headers: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidTaskError, match=text):
        read(headers)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (5, r"must be \[args, kwargs, embed\], not 5"),
        ("abc", r"must be \[args, kwargs, embed\], not 'abc'"),
        ([[], {}, {}, {}], r"must be \[args, kwargs, embed\]"),
        ([5, {}, {}], "task args must be a list, not 5"),
        (["text", {}, {}], "task args must be a list, not 'text'"),
        ([[], [], {}], r"task kwargs must be a mapping, not \[\]"),
        ([[], {}, []], r"third element of the body must be an object, not \[\]"),
        ([[], {}, {"callbacks": {"task": "x"}}], "'callbacks' must be a list of signatures"),
        ([[], {}, {"errbacks": ["x"]}], r"'errbacks' must be a list of signatures, not \['x'\]"),
        ([[], {}, {"chain": 5}], "'chain' must be a list of signatures"),
        ([[], {}, {"chord": []}], "'chord' must be a signature"),
        ({}, "an object with neither args nor kwargs"),
    ],
)
def test_bodies_that_can_not_be_right_are_named(body: object, text: str) -> None:
    with pytest.raises(InvalidTaskError, match=text):
        read(minimal(), body)


def test_an_error_shows_no_more_of_a_body_than_is_needed() -> None:
    with pytest.raises(InvalidTaskError) as caught:
        read(minimal(), [["secret" * 1000]] * 2)
    assert len(str(caught.value)) < 300


def test_keywords_that_are_no_text_are_refused() -> None:
    import pickle

    message = Message(minimal(), {}, pickle.dumps(([], {5: 1}, {})), "application/x-python-serialize", "binary")
    with pytest.raises(InvalidTaskError, match="task kwargs must have text as keys, not 5"):
        read_invocation(message, accept=["pickle"], inflated_size_limit=100)


def test_a_bomb_is_refused() -> None:
    body = zlib.compress(b" " * 10_000_000)
    with pytest.raises(MessageTooLarge, match="inflates to more than 10000 bytes"):
        read(minimal(compression="application/x-gzip"), body)


def test_our_own_headers_are_no_custom_ones() -> None:
    invocation = read(minimal(**{"x-celeriac-lane": "fast", "x-tenant": "acme", "redelivered": True}))
    assert invocation.custom == {"x-tenant": "acme"}


def test_the_message_is_left_as_it_was() -> None:
    headers = minimal(retries=None, timelimit=None, stamps=None)
    before = dict(headers)
    invocation = read(headers)
    invocation.headers["stamps"]["x"] = 1
    invocation.headers["timelimit"][0] = 5
    assert headers == before
    assert HEADER_DEFAULTS["timelimit"] == [None, None]
    assert HEADER_DEFAULTS["stamps"] == {}


def test_local_times_of_protocol_1(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        body = {"task": "add", "id": "1", "utc": False, "eta": "2026-01-01T09:00:00", "expires": None}
        assert read({}, body).eta == datetime(2026, 1, 1, tzinfo=UTC)
        with pytest.raises(InvalidTaskError, match="invalid eta value 'soon'"):
            read({}, {**body, "eta": "soon"})
    finally:
        monkeypatch.undo()
        time.tzset()


@given(JSON)
def test_the_look_at_the_expiry_never_fails(value: object) -> None:
    found = header_expires({"expires": value})
    assert found is None or isinstance(found, float)
