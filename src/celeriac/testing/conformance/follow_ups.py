"""Settlements without results: what is published and what becomes of the message, whoever stores results."""

from __future__ import annotations

from typing import Final

import pytest

from celeriac.exceptions import CeleriacError
from celeriac.message import Loss, Message, Publication
from celeriac.outcome import Acknowledge, Action, Bury, Keep, Requeue, Settlement
from celeriac.testing.conformance.conditions import browses_dead_letters
from celeriac.testing.conformance.support import (
    Harness,
    MakeBroker,
    finish,
    in_loop,
    job,
    names,
    opened,
    take,
    take_all,
)

#: It has no form in any store.
UNFIT: Final = Publication(Message({"id": object()}, {}, b""), "next")


class FollowUpCases(Harness):
    """Follow-ups travel with the settlement."""

    @in_loop
    async def test_follow_ups_are_published_with_the_acknowledgement(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(3)])
            held = await take(broker)
            batch = [
                Settlement(one, Acknowledge(), follow_ups=(job(f"{n}a", "next"), job(f"{n}b", "next")))
                for n, one in enumerate(held)
            ]
            assert await broker.settle(batch) == []
            assert names(await take(broker, 10, "next")) == ["0a", "0b", "1a", "1b", "2a", "2b"]
            assert await take(broker) == []

    @in_loop
    async def test_refused_settlements_publish_nothing(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(3)])
            held = await take(broker)
            assert await finish(broker, [held[1]]) == []
            batch = [
                Settlement(one, Acknowledge(), follow_ups=(job(f"after {n}", "next"),)) for n, one in enumerate(held)
            ]
            assert await broker.settle(batch) == [batch[1]]
            assert names(await take(broker, 10, "next")) == ["after 0", "after 2"]

    @in_loop
    async def test_keep_publishes_and_leaves_the_delivery_as_it_is(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            (held,) = await take(broker)
            assert await broker.settle([Settlement(held, Keep(), follow_ups=(job("next", "next"),))]) == []
            assert await broker.depth("next") == 1
            assert await take(broker) == []
            assert await finish(broker, [held]) == []

    @in_loop
    async def test_an_unfenced_keep_publishes(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            held = await take(broker)
            assert await finish(broker, held) == []
            late = Settlement(held[0], Keep(), follow_ups=(job("next"),), fenced=False)
            assert await broker.settle([late]) == []
            assert names(await take(broker)) == ["next"]

    @browses_dead_letters
    @in_loop
    async def test_actions_of_all_kinds_in_one_batch(self, make_broker: MakeBroker) -> None:
        loss = Loss(1.0, "w", "killed")
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(6)])
            held = await take(broker)
            actions: list[Action] = [
                Acknowledge(),
                Requeue(),
                Bury("broken"),
                Keep(),
                Requeue(loss=loss),
                Bury("b", loss),
            ]
            assert await broker.settle([Settlement(*pair) for pair in zip(held, actions, strict=True)]) == []
            again = await take_all(broker)
            assert sorted(zip(names(again), (one.history for one in again), strict=True)) == [("1", ()), ("4", (loss,))]
            assert {name: one.history for one in await broker.dead_letters() for name in names([one])} == {
                "2": (),
                "5": (loss,),
            }
            assert await finish(broker, [held[3]]) == []

    @in_loop
    async def test_one_settlement_that_can_not_be_written_writes_nothing(self, make_broker: MakeBroker) -> None:
        """Neither its message nor its follow-ups are gone; settled anew without the unfit one, all of it is written."""
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            (held,) = await take(broker)
            unfit = Settlement(held, Acknowledge(), follow_ups=(job("next", "next"), UNFIT))
            with pytest.raises(CeleriacError):
                await broker.settle([unfit])
            assert await broker.depth("next") == 0
            assert await broker.settle([Settlement(held, Acknowledge(), follow_ups=(job("next", "next"),))]) == []
            assert names(await take(broker, 10, "next")) == ["next"]
