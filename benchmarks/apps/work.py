"""The tasks that every peer runs, as plain functions. Standard library only."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING

from benchmarks.board import here

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def noop() -> None:
    """Nothing but a note that it ran."""
    slot = here().slot
    slot.begin()
    slot.finish()


def value(number: int) -> int:
    """A result, to be stored and fetched."""
    noop()
    return number


def step(number: int) -> int:
    """One link of a chain: the number after `number`."""
    noop()
    return number + 1


def total(numbers: list[int]) -> int:
    """The body of a chord."""
    noop()
    return sum(numbers)


def stamp(index: int, sent: int) -> None:
    """How long ago `sent` (ns, CLOCK_MONOTONIC) was, as sample `index`."""
    now = time.monotonic_ns()
    place = here()
    place.board.set_sample(index, now - sent)
    place.slot.begin()
    place.slot.finish()


async def nap(milliseconds: int) -> None:
    """A coroutine that waits, as one does for a network."""
    slot = here().slot
    slot.begin()
    await asyncio.sleep(milliseconds / 1000)
    slot.finish()


def as_coroutine(function: Callable[..., int | None]) -> Callable[..., Coroutine[None, None, int | None]]:
    """The same task as an `async def`, for peers that would give a plain function to a thread."""

    @functools.wraps(function)
    async def run(*args: int) -> int | None:
        return function(*args)

    return run
