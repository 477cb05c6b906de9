"""Topic patterns and headers, by the rules of AMQP."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.matching import headers_match, topic_matches


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("feed.eu", "feed.eu", True),
        ("feed.eu", "feed.us", False),
        ("feed.eu", "feed.eu.sport", False),
        ("feed.*", "feed.eu", True),
        ("feed.*", "feed", False),
        ("feed.*", "feed.eu.sport", False),
        ("feed.*.eu", "feed.sport.eu", True),
        ("feed.*.eu", "feed..eu", True),
        ("feed.#", "feed", True),
        ("feed.#", "feed.eu.sport", True),
        ("feed.#", "feeds.eu", False),
        ("#.eu", "eu", True),
        ("#.eu", "feed.sport.eu", True),
        ("#.eu", "feed.eu.sport", False),
        ("a.#.b", "a.b", True),
        ("a.#.b", "a.x.b.y.b", True),
        ("a.#.b.#.c", "a.b.x.b.c", True),
        ("a.#.b.#.c", "a.x.c", False),
        ("#.*", "", False),
        ("*.#", "a.b.c", True),
        ("#", "", True),
        ("#", "a.b", True),
        ("*", "a.b", False),
        ("", "", True),
        ("", "a", False),
        ("feed.#", "feed.#", True),  # how Celery sends to a queue that is given by name
        ("f+ed.*", "feed.eu", False),
    ],
)
def test_topic(pattern: str, key: str, matches: bool) -> None:
    assert topic_matches(pattern, key) is matches


def test_a_long_pattern_is_decided_at_once() -> None:
    assert not topic_matches("#.a." * 30 + "b", "a." * 200 + "c")


@pytest.mark.parametrize(
    ("arguments", "headers", "matches"),
    [
        ({}, {"a": 1}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"x-match": "all", "a": 1}, {"a": 2}, False),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1, "b": 2}, {"a": 2}, False),
        ({"x-match": "any"}, {"a": 2}, False),
        ({"a": None}, {"a": 2}, True),
        ({"a": None}, {}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": True}, False),
        ({"x-colour": "red"}, {}, True),
        ({"x-match": "all-with-x", "x-colour": "red"}, {}, False),
        ({"x-match": "any-with-x", "x-colour": "red"}, {"x-colour": "red"}, True),
    ],
)
def test_headers(arguments: dict[str, Any], headers: dict[str, Any], matches: bool) -> None:
    assert headers_match(arguments, headers) is matches
