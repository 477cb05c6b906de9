"""Errors name the part of a value that can not be sent, and the cure."""

from __future__ import annotations

import pytest

from celeriac.serialization import find_offender


class Model:
    pass


CIRCLE: list[object] = [1]
CIRCLE.append([CIRCLE])


@pytest.mark.parametrize(
    ("value", "serializer", "sentence"),
    [
        ([1, {"a": {2}}], "json", "args[1]['a'] is a set, which json can not carry: pass a list"),
        ((Model(),), "json", "args[0] is a Model, which json can not carry: pass plain data (an id rather than the"),
        ({(1, 2): 3}, "json", "args is a dict, which json can not carry: use text as its keys, not tuple"),
        ([10**5000], "json", "args[0] is an int, which json can not carry: it has too many digits; pass it as text"),
        (CIRCLE, "json", "args[1][0] contains itself, which json can not carry"),
        ([{1: 2}], "msgpack", "args[0] is a dict, which msgpack can not carry: use text as its keys, not int"),
        ([lambda: 1], "pickle", "args[0] is a function, which pickle can not carry"),
        ([{"a": Model()}], "yaml", "args[0]['a'] is a Model, which yaml can not carry"),
    ],
)
def test_the_offender_is_named(value: object, serializer: str, sentence: str) -> None:
    found = find_offender(value, serializer, "args")
    assert found is not None
    assert found.startswith(sentence)


def test_nothing_is_said_of_what_can_be_sent() -> None:
    assert find_offender([1, {"a": "b"}], "json", "args") is None


def test_very_deep_values_end_the_search() -> None:
    deep: object = {1}
    for _ in range(300):
        deep = [deep]
    found = find_offender(deep, "json", "args")
    assert found is not None
    assert "is a list" in found
