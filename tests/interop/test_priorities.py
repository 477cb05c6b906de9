"""Priorities on Redis, 0 to 9 in Celery's four steps: 0 first, the same order on either side, whoever has sent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest

from interop.pairs import ON_REDIS, Pair
from interop.sides import SOLO, Place, SideName

STEPS = (0, 3, 6, 9)


def step_of(priority: int, steps: Sequence[int] = STEPS) -> int:
    return max(step for step in steps if step <= priority)


def run_ranked(pair: Pair, place: Place, queue: str, side: SideName) -> list[int]:
    """Both producers send before the worker starts; the order in which it runs them."""
    key = uuid.uuid4().hex
    sent = [3, 9, 0, 5, 7, 2, 8, 1, 6, 4] * 2
    for at, priority in enumerate(sent):
        client = pair.clients["celery" if at % 2 else "celeriac"]
        client.send("where", key, f"{priority} {at}", queue=queue, priority=priority)
    with place.worker(side, [queue], *(SOLO if side == "celery" else ("-c", "1"))):
        ran = [entry.split() for entry in place.journal.take(key, len(sent))]
    assert {name for name, *_ in ran} == {side}
    return [int(at) for _, _, at in ran]


@ON_REDIS
@pytest.mark.parametrize("side", ["celery", "celeriac"])
def test_the_order_is_that_of_the_steps_then_of_sending(pair: Pair, side: SideName) -> None:
    sent = [3, 9, 0, 5, 7, 2, 8, 1, 6, 4] * 2
    expected = sorted(range(len(sent)), key=lambda at: (step_of(sent[at]), at))
    assert run_ranked(pair, pair.place, f"ranked-{side}", side) == expected
