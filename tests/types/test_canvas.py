"""What type checkers know of workflows."""

from __future__ import annotations

from typing import Any, assert_type

from celeriac import AsyncResult, Celeriac, GroupResult, Signature, chain, chord, chunks, group, xmap

app = Celeriac("canvas", broker="memory://canvas")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def text(number: int) -> str:
    return str(number)


@app.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


def test_chains() -> None:
    both = add.s(1, 2) | text.s()
    assert_type(both, chain[str])
    assert_type(chain(add.s(1, 2), text.s()), chain[str])
    assert_type(chain(add.s(1, 2), add.s(3), add.s(4)), chain[int])
    assert_type(chain([add.s(1, 2), text.s()]), chain[Any])
    assert_type(both.freeze(), AsyncResult[str])
    assert_type(both.clone(), chain[str])
    assert_type(both.on_error(text.s()).stamp(tenant="acme"), chain[str])
    assert_type(both.tasks, list[Signature[Any]])
    assert_type(both.apply(), AsyncResult[str])
    assert both.delay().id


def test_groups_and_chords() -> None:
    two = group(add.s(1, 2), add.s(3, 4))
    assert_type(two.freeze(), GroupResult)
    assert_type(two.apply(), GroupResult)
    joined = chord(two, total.s())
    assert_type(joined, chord[int])
    assert_type(joined.body, Signature[int])
    assert_type(joined.header, group)
    assert_type(joined.apply(), AsyncResult[int])
    assert joined.apply().get() == 10


def test_batches() -> None:
    assert_type(text.map([1, 2]), xmap[list[str]])
    assert_type(text.map([1, 2]).apply().get(), list[str])
    assert_type(add.chunks([(1, 2)], 1), chunks)
    assert_type(add.chunks([(1, 2)], 1).apply(), GroupResult)
