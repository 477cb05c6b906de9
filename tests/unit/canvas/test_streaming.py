"""A group that is given a generator is made as it is sent, and not kept."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from celeriac import Celeriac, GroupResult, Signature, group
from celeriac.calling import CHUNK_SIZE
from hand_worker import HandWorker


def send(members: group) -> GroupResult:
    return members.apply_async()


def asend(members: group) -> GroupResult:
    async def sent() -> GroupResult:
        return await members.aapply_async()

    return asyncio.run(sent())


@pytest.mark.parametrize("send_it", [send, asend])
def test_few_signatures_are_alive_at_a_time(app: Celeriac, send_it: Callable[[group], GroupResult]) -> None:
    alive: set[int] = set()
    most = 0

    def members() -> Iterator[Signature[Any]]:
        nonlocal most
        for number in range(4 * CHUNK_SIZE):
            made = app.signature("square", (number,))
            alive.add(number)
            weakref.finalize(made, alive.discard, number)
            most = max(most, len(alive))
            yield made

    result = send_it(group(members()))
    assert len(result) == 4 * CHUNK_SIZE
    assert most <= 2 * CHUNK_SIZE
    del result
    gc.collect()
    assert len(alive) <= 1


def test_it_is_sent_once(app: Celeriac, worker: HandWorker) -> None:
    members = group(app.signature("square", (number,)) for number in range(3))
    assert len(members(1)) == 3
    assert len(worker.waiting()) == 3
    with pytest.raises(RuntimeError, match=r"give group\(\) a list"):
        members()
    looked_at = group(app.signature("square", (number,)) for number in range(3))
    assert len(looked_at) == 3
    assert [len(looked_at()), len(looked_at())] == [3, 3]
