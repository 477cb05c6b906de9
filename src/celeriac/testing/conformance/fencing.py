"""Fencing: a worker whose lease was taken over can not write anything."""

from __future__ import annotations

import pytest

from celeriac.message import Loss
from celeriac.outcome import Acknowledge, Bury, Keep, Requeue, Settlement
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.conditions import leases_end_by_time
from celeriac.testing.conformance.support import (
    LEASE,
    Harness,
    MakeBackend,
    MakeBroker,
    finish,
    in_loop,
    job,
    names,
    opened,
    success,
    take,
)

LOSS = Loss(at=1.5, worker="a", reason="WorkerLostError: killed")


class FencingCases(Harness):
    """A worker whose lease was taken over can not write anything."""

    @leases_end_by_time
    @pytest.mark.parametrize(
        "action",
        [Acknowledge(), Requeue(), Requeue(loss=LOSS), Bury("late"), Keep()],
        ids=["acknowledge", "requeue", "lose", "bury", "keep"],
    )
    def test_the_old_owner_writes_nothing(
        self, make_broker: MakeBroker, make_backend: MakeBackend, clock: VirtualClock, action: Acknowledge
    ) -> None:
        @in_loop
        async def run() -> None:
            backend = make_backend()
            async with opened(make_broker(), "old") as old, opened(make_broker(), "new", 1000) as new:
                old.publish([job(1)])
                (held,) = await take(old)
                clock.advance(LEASE)
                (taken,) = await new.recover(10)
                late = Settlement(held, action, success("1"), (job("follow-up", "next"),))
                assert await old.settle([late]) == [late]
                assert backend.load("1") is None
                assert await new.depth("q") == await new.depth("next") == 0
                assert await new.dead_letters() == []
                assert await finish(new, [taken]) == []

        run()

    @in_loop
    async def test_an_earlier_token_of_the_same_owner_is_refused(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            earlier = await take(broker)
            assert await finish(broker, earlier, Requeue()) == []
            now = await take(broker)
            assert len(await finish(broker, earlier)) == 1
            assert await broker.mark_started(earlier) == earlier
            await broker.release(earlier)
            assert await broker.depth("q") == 0
            assert await finish(broker, now) == []

    @in_loop
    async def test_a_settled_message_can_not_be_settled_again(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            (held,) = await take(broker)
            twice = [Settlement(held, Acknowledge()), Settlement(held, Acknowledge())]
            assert len(await broker.settle(twice)) == 1
            assert len(await broker.settle(twice)) == 2
            broker.publish([job(2)])
            assert len(await broker.settle(twice)) == 2
            assert names(await take(broker)) == ["2"]

    @leases_end_by_time
    @in_loop
    async def test_a_stale_one_does_not_harm_the_others_of_its_batch(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b", 1000) as second:
            first.publish([job(n) for n in range(5)])
            lost = await take(first, 2)
            clock.advance(LEASE)
            await second.recover(2)
            await first.renew()
            kept = await take(first, 3)
            batch = [Settlement(delivery, Acknowledge()) for delivery in (kept[0], *lost, *kept[1:])]
            assert [s.delivery for s in await first.settle(batch)] == lost
            assert len(await first.settle(batch)) == 5

    @in_loop
    async def test_release_by_the_old_owner_changes_nothing(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b", 1000) as second:
            first.publish([job(1)])
            held = await take(first)
            await self.end_leases(clock, "a")
            await self.look_at_queue(second)
            taken = await second.recover(10)
            await self.let_back("a")
            await first.release(held)
            assert await second.depth("q") == 0
            assert await finish(second, taken) == []

    @in_loop
    async def test_made_up_tags_are_refused(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            (held,) = await take(broker)
            for tag in (held.tag, 10**9, "no such tag", -1):
                held.tag, held.token = tag, held.token + 1
                assert len(await finish(broker, [held])) == 1
