"""Whoever waits for messages sleeps meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.brokers.rabbitmq.supply import Supply
from celeriac.message import Loss
from celeriac.outcome import Requeue, Settlement

from .conftest import Place
from .session_support import DEADLINE, new_broker, opened, publication, take


@pytest.mark.parametrize("limit", [1, pytest.param(2, marks=pytest.mark.long)])
def test_waiting_beside_a_suspect_takes_few_turns(place: Place, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    turns = 0
    raise_prefetch = Supply.raise_prefetch

    def counted(supply: Supply, queues: list[str], room: int) -> None:
        nonlocal turns
        turns += 1
        raise_prefetch(supply, queues, room)

    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            broker.publish([publication(str(n)) for n in range(limit)])
            first = await take(broker, limit)
            await broker.settle([Settlement(one, Requeue(loss=Loss(0.0, "x", "gone"))) for one in first])
            await take(broker, limit)
            monkeypatch.setattr(Supply, "raise_prefetch", counted)
            assert await broker.reserve(["tasks"], limit, 6.0) == []  # longer than between two looks for suspects

    asyncio.run(asyncio.wait_for(run(), 2 * DEADLINE))
    assert 0 < turns < 12
