"""The types of option values."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from celeriac.cli.options import AT_LEAST_1, NAME, SECONDS_ABOVE_0, CommaList, JsonValue, Moment, OptionType
from celeriac.cli.worker_types import Concurrency, LogLevel, NodeName, Pool, parse_overrides


def _convert(kind: OptionType, value: object) -> object:
    return kind.convert(value, None, None)


def test_comma_list() -> None:
    assert _convert(CommaList(), "a, b,,c") == ("a", "b", "c")
    assert _convert(CommaList(), ("a",)) == ("a",)


def test_json_values() -> None:
    assert _convert(JsonValue(list), '[1, "x"]') == [1, "x"]
    assert _convert(JsonValue(dict), '{"x": null}') == {"x": None}
    assert _convert(JsonValue(dict), {"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (JsonValue(list), "[1", "is no JSON"),
        (JsonValue(list), "{}", "is no json array"),
        (JsonValue(dict), "[]", "is no json object"),
        (CommaList(), "", "names nothing"),
        (CommaList(), " , ", "names nothing"),
        (NAME, "", "names nothing"),
        (NodeName(), "", "names nothing"),
        (SECONDS_ABOVE_0, "x", "'x' is not a number of seconds above 0"),
        (SECONDS_ABOVE_0, "0", "'0' is not a number of seconds above 0"),
        (SECONDS_ABOVE_0, "inf", "'inf' is not a number of seconds above 0"),
        (AT_LEAST_1, "1.5", "'1.5' is not a whole number of at least 1"),
        (Moment(seconds=True), "nan", "or a number of seconds"),
        (Moment(), "soon", "ISO 8601"),
        (Moment(), "5", "ISO 8601"),
        (Moment(seconds=True), "soon", "or a number of seconds"),
        (LogLevel(), "loud", "unknown log level 'loud'"),
        (NodeName(), "a@%x", "unknown abbreviation"),
        (Concurrency(), "0", "at least 1"),
        (Concurrency(), "many", "at least 1"),
        (Concurrency(), "-1", "at least 1"),
        (Pool(), "gevent", "asyncio and threads do its work"),
        (Pool(), "swimming", "is none of prefork"),
    ],
)
def test_refusals(kind: OptionType, value: str, text: str) -> None:
    with pytest.raises(click.BadParameter, match=text):
        _convert(kind, value)


def test_moments() -> None:
    moment = datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert _convert(Moment(), "2030-01-31T12:00:00+00:00") == moment
    assert _convert(Moment(), moment) == moment
    assert _convert(Moment(seconds=True), "2030-01-31T12:00:00Z") == moment
    assert _convert(Moment(seconds=True), "1.5") == 1.5


def test_worker_values() -> None:
    assert _convert(LogLevel(), "info") == 20
    assert _convert(LogLevel(), "15") == 15
    assert _convert(NodeName(), "a@b") == "a@b"
    assert _convert(Concurrency(), "auto") == "auto"
    assert _convert(Concurrency(), "4") == 4
    assert _convert(Concurrency(), 4) == 4
    assert _convert(Pool(), "threads") == "threads"


def test_overrides() -> None:
    assert parse_overrides(()) == {}
    assert parse_overrides(("a=1", "b=x=y")) == {"a": "1", "b": "x=y"}


@pytest.mark.parametrize("text", ["a", "=1", "a b=1", "--x=1"])
def test_what_is_no_override(text: str) -> None:
    with pytest.raises(click.UsageError, match="is no setting"):
        parse_overrides((text,))
