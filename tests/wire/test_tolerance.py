"""Hand-made messages and what a Celery 5.7 worker did with each: what it runs is read here as well.

What it dies of, loops on or drops without a trace is refused with an error that says what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from celeriac.exceptions import ContentDisallowed, DecodeError, InvalidTaskError
from celeriac.message import Message
from celeriac.protocol import Invocation, header_expires, read_invocation

CASES = json.loads((Path(__file__).with_name("captures") / "redis" / "tolerance" / "worker_input.json").read_text())[
    "cases"
]

#: These never get past the transport: there is no message to read.
NO_MESSAGE = {"no_body", "bad_base64", "envelope_not_json", "envelope_not_object", "no_properties"}

REFUSED: dict[str, tuple[type[Exception], str]] = {
    "no_embed": (InvalidTaskError, r"must be \[args, kwargs, embed\], not \[\[2, 3\], \{\}\]"),
    "kwargs_null": (InvalidTaskError, "task kwargs must be a mapping, not None"),
    "args_null": (InvalidTaskError, "task args must be a list, not None"),
    "no_headers": (InvalidTaskError, "no header 'task'"),
    "headers_null": (InvalidTaskError, "no header 'task'"),
    "no_id": (InvalidTaskError, "the message of task 'wire.add' has no id"),
    "no_task": (InvalidTaskError, "no header 'task'"),
    "no_content_type": (ContentDisallowed, "content type '' is not accepted"),
    "content_type_charset": (ContentDisallowed, "the sender must write exactly 'application/json'"),
    "body_empty": (DecodeError, "not valid json"),
    "bad_json_body": (DecodeError, "not valid json"),
    "eta_epoch_int": (InvalidTaskError, "invalid eta value 1577836800: it must be ISO 8601 text"),
    "eta_epoch_float": (InvalidTaskError, "invalid eta value 1577836800.5"),
    "eta_bad": (InvalidTaskError, "invalid eta value 'tomorrow'"),
    "eta_empty": (InvalidTaskError, "invalid eta value ''"),
    "expires_int": (InvalidTaskError, "invalid expires value 60"),
    "expires_epoch_float": (InvalidTaskError, "invalid expires value 1577836800.5"),
    "expires_bad": (InvalidTaskError, "invalid expires value 'soon'"),
    "timelimit_short": (InvalidTaskError, r"must be \[hard, soft\] in seconds or null, not \[5\]"),
    "json_unknown_type": (DecodeError, "unknown __type__ 'complex'"),
    "compression_unknown": (DecodeError, "unknown compression 'application/x-nope'"),
    "v1_kwargs_null": (InvalidTaskError, "task kwargs must be a mapping, not None"),
    "v1_no_id_2": (InvalidTaskError, "the message of task 'wire.add' has no id"),
}
READABLE = sorted(CASES.keys() - REFUSED.keys() - NO_MESSAGE)
NEW_YEAR = datetime(2020, 1, 1, tzinfo=UTC)

Parser = Callable[[str], Message]


def read(name: str, parse: Parser) -> Invocation:
    message = parse(CASES[name]["message"])
    return read_invocation(message, accept=["json"], inflated_size_limit=10**6)


@pytest.mark.parametrize("name", READABLE)
def test_what_celery_takes_is_taken(name: str, parse_redis: Parser) -> None:
    invocation = read(name, parse_redis)
    assert invocation.id
    assert invocation.task in {"wire.add", "wire.echo", "wire.noop", "nope"}
    if CASES[name]["outcome"] == "SUCCESS 5":
        assert (invocation.args, invocation.kwargs) == ([2, 3], {})


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_celery_drops_or_dies_of_is_refused_with_the_reason(name: str, parse_redis: Parser) -> None:
    error, text = REFUSED[name]
    assert not CASES[name]["outcome"].startswith("SUCCESS")
    with pytest.raises(error, match=text):
        read(name, parse_redis)


@pytest.mark.parametrize(
    ("name", "eta"),
    [
        ("eta_z", NEW_YEAR),
        ("eta_naive", NEW_YEAR),
        ("eta_offset", datetime(2019, 12, 31, 22, tzinfo=UTC)),
        ("eta_offset_nocolon", datetime(2019, 12, 31, 22, tzinfo=UTC)),
        ("eta_space", NEW_YEAR),
        ("eta_date", NEW_YEAR),
        ("eta_basic", NEW_YEAR),
        ("eta_nanos", NEW_YEAR.replace(microsecond=123456)),
        ("v1_eta_naive", NEW_YEAR),
    ],
)
def test_times_in_all_forms_that_celery_reads(name: str, eta: datetime, parse_redis: Parser) -> None:
    assert read(name, parse_redis).eta == eta


def test_the_supervisor_reads_an_expiry_without_the_body(parse_redis: Parser) -> None:
    def expiry(name: str) -> float | None:
        return header_expires(parse_redis(CASES[name]["message"]).headers)

    assert expiry("expires_z_past") == NEW_YEAR.timestamp()
    assert expiry("expires_naive_future") == datetime(2040, 1, 1, tzinfo=UTC).timestamp()
    assert expiry("minimal_v2") is None
    assert expiry("expires_int") is None
    assert expiry("expires_bad") is None


def test_defaults_of_the_smallest_message(parse_redis: Parser) -> None:
    invocation = read("minimal_v2", parse_redis)
    assert invocation.retries == 0
    assert (invocation.time_limit, invocation.soft_time_limit) == (None, None)
    assert invocation.headers["root_id"] == invocation.id
    assert (invocation.headers["argsrepr"], invocation.headers["kwargsrepr"]) == ("(2, 3)", "{}")
    assert invocation.headers["stamps"] == {}
    assert invocation.custom == {}


def test_numbers_in_odd_clothes(parse_redis: Parser) -> None:
    assert read("retries_string", parse_redis).retries == 1
    assert read("retries_null", parse_redis).retries == 0
    assert read("timelimit_float", parse_redis).time_limit == 5.5
    assert read("timelimit_null", parse_redis).time_limit is None
    assert read("id_int", parse_redis).id == "5"


def test_protocol_1_in_its_variants(parse_redis: Parser) -> None:
    assert read("v1_minimal", parse_redis).protocol == 1
    assert read("v1_no_args", parse_redis).kwargs == {"x": 1, "y": 2}
    assert read("v1_no_kwargs", parse_redis).args == [2, 3]
    assert read("v1_no_args_kwargs", parse_redis).args == []
    assert read("body_object_in_v2", parse_redis).protocol == 2
