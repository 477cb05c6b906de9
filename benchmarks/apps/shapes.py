"""The workflows that are measured, in Celery's words, which Celery and Celeriac share. Knows neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Words:
    """The words of one task queue, and its tasks.

    They have no types that hold for both: one of the two is installed in an environment of its own only.

    Attributes:
        chain: builds a chain.
        group: builds a group.
        chord: builds a chord of a header and a body.
        step: the task that adds one to a number.
        value: the task that returns its number.
        total: the task that adds up a list.
    """

    chain: Callable[..., Any]
    group: Callable[..., Any]
    chord: Callable[..., Any]
    step: Any
    value: Any
    total: Any


@dataclass(frozen=True)
class Shape:
    """A kind of workflow: how one of a size is built, and what its result is then."""

    build: Callable[[Words, int], Any]
    result: Callable[[int], Any]


def _chain(words: Words, size: int) -> Any:
    return words.chain(words.step.s(0), *(words.step.s() for _ in range(size - 1)))


def _group(words: Words, size: int) -> Any:
    return words.group(words.value.s(1) for _ in range(size))


def _chord(words: Words, size: int) -> Any:
    return words.chord([words.value.s(1) for _ in range(size)], words.total.s())


def _nested(words: Words, size: int) -> Any:
    return words.chord([_chord(words, size) for _ in range(size)], words.total.s())


SHAPES: Final[dict[str, Shape]] = {
    "chain": Shape(_chain, lambda size: size),
    "group": Shape(_group, lambda size: [1] * size),
    "chord": Shape(_chord, lambda size: size),
    "nested": Shape(_nested, lambda size: size * size),
}
