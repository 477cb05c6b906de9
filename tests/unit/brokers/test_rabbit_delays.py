"""Celery's ladder for future work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.rabbitmq import delays
from celeriac.exceptions import StoreRefused
from celeriac.matching import topic_matches

CAPTURES = Path(__file__).parents[2] / "wire" / "captures" / "amqp" / "transport"


def captured(name: str) -> dict[str, Any]:
    """What a program of Celery's sent."""
    capture: dict[str, Any] = json.loads((CAPTURES / name).read_text())
    return capture


def plain(value: Any) -> Any:
    """A captured table without its types."""
    return {name: item[1] for name, item in value.items()}


def test_the_ladder_is_declared_as_celery_declares_it() -> None:
    declared = {
        frame["args"]["queue"]: plain(frame["args"]["arguments"])
        for frame in captured("delayed_ladder.json")["declares"]
        if frame["method"] == "queue.declare"
    }
    assert len(declared) == 28
    for level in range(28):
        assert declared[delays.level_name(level)] == delays.queue_arguments(level, "quorum")


def test_the_bits_of_a_key_are_celerys() -> None:
    published = captured("delayed_message.json")["publishes"][0]
    key = published["routing_key"]
    assert published["exchange"] in delays.ENTRANCES
    assert delays.entrance_key(10, "jobs").split(".")[:28] == key.split(".")[:28]
    assert delays.strip_bits(key) == "jobs"


@given(st.one_of(st.integers(0, 5), st.integers(0, delays.LONGEST)))
def test_a_message_enters_where_it_waits_first(seconds: int) -> None:
    level = int(delays.entrance(seconds).removeprefix("celery_delayed_"))
    bits = delays.entrance_key(seconds, "q").split(".")[:28]
    assert set(bits[: 27 - level]) <= {"0"}
    assert bits[27 - level] == "1" or (seconds, level) == (0, 0)


@given(st.integers(0, delays.LONGEST), st.from_regex(r"\A[dt01~#*]{1,5}(\.[dt01~#*]{0,5}){0,5}\Z"))
def test_bits_are_taken_off_again(seconds: int, key: str) -> None:
    entered = delays.entrance_key(seconds, key)
    assert delays.strip_bits(entered) == key
    assert int("".join(entered.split(".")[:28]), 2) == seconds
    assert topic_matches(delays.exit_pattern(key), entered)


@pytest.mark.parametrize("queue", ["feed", "a.feed", "feed.a", "a.feed.a"])
@pytest.mark.parametrize("topic", ["feed", "feed.#", "#.feed", "*.feed", "feed.*"])
def test_what_is_for_a_queue_is_for_no_topic_of_celerys(queue: str, topic: str) -> None:
    assert not topic_matches(f"#.{topic}", delays.entrance_key(5, queue))
    assert not topic_matches(delays.exit_pattern(queue), "0." * 28 + queue)


def test_a_longer_key_with_the_same_end_is_another_queue() -> None:
    assert not topic_matches(delays.exit_pattern("b"), delays.entrance_key(5, "a.b"))


def test_what_has_no_bits_is_left_as_it_is() -> None:
    assert delays.strip_bits("a.b") == "a.b"
    assert delays.strip_bits(".".join("2" * 28) + ".q") == ".".join("2" * 28) + ".q"


def test_names_that_do_not_fit_are_refused_with_the_bound() -> None:
    delays.entrance_key(1, "q" * delays.LONGEST_NAME)
    with pytest.raises(StoreRefused, match="198 bytes"):
        delays.entrance_key(1, "q" * (delays.LONGEST_NAME + 1))
