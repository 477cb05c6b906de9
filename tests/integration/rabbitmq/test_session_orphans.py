"""What a worker holds when its connection is lost, and has not begun, or is done with."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from celeriac.message import Loss
from celeriac.outcome import Acknowledge, Requeue, Settlement

from .conftest import Place
from .session_support import DEADLINE, cut, ids, new_broker, opened, publication, session_of, take, until


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 3 * DEADLINE))


def test_a_suspect_that_was_orphaned_before_it_was_marked_comes_again(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            broker.publish([publication("s")])
            [first] = await take(broker, 1)
            await broker.settle([Settlement(first, Requeue(loss=Loss(0.0, "x", "gone")))])
            suspects = await take(broker, 1)
            await cut(broker)
            assert await broker.mark_started(suspects) == suspects
            [again] = await take(broker, 1)
            assert await broker.mark_started([again]) == []
            assert await broker.settle([Settlement(again, Acknowledge())]) == []
            await until(place.is_worked_off, "it is settled")

    _run(run())


def test_an_orphan_is_not_acknowledged_before_its_run(place: Place) -> None:
    async def run() -> None:
        async with opened(new_broker(place)) as broker:
            broker.publish([publication("once")])
            [first] = await take(broker, 1)
            await cut(broker)
            early = Settlement(first, Acknowledge(), before_run=True)
            assert await broker.settle([early]) == [early]
            [again] = await take(broker, 1)
            assert ids([again]) == ["once"]
            assert await broker.settle([Settlement(again, Acknowledge(), before_run=True)]) == []
            await until(place.is_worked_off, "it is acknowledged")
            assert len(session_of(broker)._holdings) == 0

    _run(run())
