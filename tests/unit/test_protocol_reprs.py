"""`argsrepr` and `kwargsrepr`: Celery's form, bounded."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.protocol import safe_repr

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=30,
)


class Broken:
    def __repr__(self) -> str:
        raise LookupError


class Names(set[int]):
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((), "()"),
        ([], "[]"),
        ({}, "{}"),
        ((1,), "(1,)"),
        ((2, 3), "(2, 3)"),
        ([1, "a", None, True, 1.5], "[1, 'a', None, True, 1.5]"),
        ({"k": "v", "n": 1}, "{'k': 'v', 'n': 1}"),
        (("it's \\ \n",), "('it\\'s \\ \n',)"),
        ((b"text", b"\xff\x00", bytearray(b"x")), "(b'text', b'ff00', b'x')"),
        ((Decimal("1.50"), Fraction(1, 3)), "(Decimal('1.50'), 1/3)"),
        ((set(), frozenset(), Names()), "(set(), frozenset(), Names())"),
        (({1}, frozenset({1}), Names([1])), "({1}, frozenset({1}), Names({1}))"),
        ({1: {2: {3: {4: 5}}}}, "{1: {2: {3: {...}}}}"),
        ([[[[]]]], "[[[[...]]]]"),
        (OrderedDict(a=(1,)), "{'a': (1,)}"),
        (range(3), "range(0, 3)"),
        ((Broken(),), "(<Unrepresentable Broken: LookupError>,)"),
        ((10**5000,), "(<Unrepresentable int: ValueError>,)"),
    ],
)
def test_the_form_is_celerys(value: object, text: str) -> None:
    assert safe_repr(value) == text


@pytest.mark.parametrize(
    ("value", "length", "text"),
    [
        (("x" * 30,), 10, "('xxxxxxxxx...',)"),
        (("x" * 30, 1, 2), 10, "('xxxxxxxxx...', ...)"),
        (([1, 2, 3], [4]), 6, "([1, 2..., ...])"),
        ({"k": "a b c d e"}, 8, "{'k': 'a...'}"),
        ((b"abcdef",), 4, "(b'abc...',)"),
    ],
)
def test_long_values_are_cut_and_brackets_closed(value: object, length: int, text: str) -> None:
    assert safe_repr(value, length) == text


@given(VALUES, st.integers(1, 200), st.integers(0, 4))
def test_the_length_is_bounded(value: object, length: int, levels: int) -> None:
    # one quoted value may double by its quotes, hex doubles bytes; brackets and the mark of the cut come on top
    assert len(safe_repr(value, length, levels)) <= 2 * length + 60


@given(st.tuples(PLAIN, PLAIN) | st.lists(PLAIN) | st.dictionaries(st.text(), PLAIN))
def test_the_short_way_gives_what_the_long_way_gives(value: object) -> None:
    nested = safe_repr((value, object), 10_000)  # a type is no plain value: the long way
    assert nested == f"({safe_repr(value, 10_000)}, <class 'object'>)"


def test_what_contains_itself_ends() -> None:
    circle: list[object] = [1]
    circle.append(circle)
    assert safe_repr(circle, maxlevels=0).startswith("[1, <Recursion on list with id=0x")
    mapping: dict[str, object] = {}
    mapping["self"] = mapping
    assert safe_repr(mapping, maxlevels=0).startswith("{'self': <Recursion on dict")
