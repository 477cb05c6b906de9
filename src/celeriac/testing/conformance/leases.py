"""Leases: who holds what, what a dead worker's messages meet, and why the dead can not write."""

from __future__ import annotations

import pytest

from celeriac.exceptions import OperationalError
from celeriac.message import Loss
from celeriac.outcome import Acknowledge, Bury, Keep, Requeue, Settlement
from celeriac.testing.clock import VirtualClock
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


class LeaseCases(Harness):
    """Taking, prolonging, running out."""

    @in_loop
    async def test_a_second_owner_of_one_name_is_refused(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker(), "same"):
            with pytest.raises(OperationalError, match="same"):
                await make_broker().open("same", lease_seconds=LEASE)
            async with opened(make_broker(), "other"):
                pass
        async with opened(make_broker(), "same"):
            pass

    @in_loop
    async def test_a_name_is_free_when_its_lease_has_run_out(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "same") as first:
            first.publish([job(1)])
            held = await take(first)
            clock.advance(LEASE)
            async with opened(make_broker(), "same") as second:
                assert names(await second.recover(10)) == ["1"]
                assert len(await finish(first, held)) == 1

    @in_loop
    async def test_renewed_leases_are_left_alone(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(1)])
            held = await take(first)
            for _ in range(5):
                clock.advance(LEASE - 1)
                assert await first.renew()
                await second.renew()
                assert await second.recover(10) == []
            assert await finish(first, held) == []

    @in_loop
    async def test_renew_tells_that_the_lease_had_run_out(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b", 1000) as second:
            assert await first.renew()
            clock.advance(LEASE)
            assert not await first.renew()
            assert await first.renew()
            first.publish([job(1)])
            await take(first)
            assert await second.recover(10) == []

    @in_loop
    async def test_what_nobody_took_over_is_still_held_after_a_late_renewal(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as broker:
            broker.publish([job(1)])
            held = await take(broker)
            clock.advance(LEASE * 3)
            assert not await broker.renew()
            assert await finish(broker, held) == []

    @in_loop
    async def test_a_reserve_after_the_end_holds_by_a_new_lease_and_renew_tells(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b", 1000) as second:
            first.publish([job(1), job(2)])
            await take(first, 1)
            clock.advance(LEASE)
            assert names(await second.recover(10)) == ["1"]
            late = await take(first)
            assert names(late) == ["2"]
            assert await second.recover(10) == []
            assert not await first.renew()
            assert await finish(first, late) == []

    @in_loop
    async def test_what_was_taken_after_the_end_can_be_recovered_too(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b", 1000) as second:
            clock.advance(LEASE)
            assert await second.recover(10) == []  # whatever is left of the first lease is gone now
            first.publish([job(1)])
            await take(first)
            clock.advance(LEASE)
            assert names(await second.recover(10)) == ["1"]

    @in_loop
    async def test_a_wall_clock_that_jumps_ends_no_lease(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(1)])
            held = await take(first)
            for jump in (1e6, -2e6):
                clock.jump(jump)
                assert await second.recover(10) == []
                assert await first.renew()
            assert await finish(first, held) == []

    @in_loop
    async def test_close_gives_back_all_that_is_held(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker(), "b") as second:
            async with opened(make_broker(), "a") as first:
                first.publish([job(n) for n in range(4)])
                await take(first, 3)
            assert await second.depth("q") == 4
            deliveries = await take(second)
            assert names(deliveries) == ["0", "1", "2", "3"]
            assert all(delivery.history == () for delivery in deliveries)
            assert await second.recover(10) == []

    @in_loop
    async def test_a_closed_broker_can_be_opened_again(self, make_broker: MakeBroker) -> None:
        broker = make_broker()
        await broker.close()
        async with opened(broker, "a"):
            broker.publish([job(1)])
            with pytest.raises(OperationalError, match="open already"):
                await broker.open("b", lease_seconds=LEASE)
        async with opened(broker, "a"):
            assert names(await take(broker)) == ["1"]


class RecoveryCases(Harness):
    """Taking over from the dead."""

    @in_loop
    async def test_only_the_dead_are_recovered_from(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as dead, opened(make_broker(), "b") as alive:
            dead.publish([job(n) for n in range(4)])
            await take(dead, 2)
            mine = await take(alive, 1)
            assert await alive.recover(10) == []
            clock.advance(LEASE - 0.5)
            await alive.renew()
            assert await alive.recover(10) == []
            clock.advance(0.5)
            taken = await alive.recover(10)
            assert sorted(names(taken)) == ["0", "1"]
            assert {delivery.lost_by for delivery in taken} == {"a"}
            assert await alive.recover(10) == []
            assert await finish(alive, taken + mine) == []

    @in_loop
    async def test_what_is_own_is_never_recovered(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as broker:
            broker.publish([job(1)])
            held = await take(broker)
            clock.advance(2 * LEASE)
            assert await broker.recover(10) == []
            assert not await broker.renew()
            assert await finish(broker, held) == []

    @in_loop
    async def test_recover_keeps_to_its_limit(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as dead, opened(make_broker(), "b", 1000) as alive:
            dead.publish([job(n) for n in range(7)])
            await take(dead)
            clock.advance(LEASE)
            assert await alive.recover(0) == []
            counts = [len(await alive.recover(3)) for _ in range(4)]
            assert counts == [3, 3, 1, 0]

    @in_loop
    async def test_several_dead_workers(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        brokers = [make_broker() for _ in range(4)]
        brokers[0].publish([job(n) for n in range(8)])
        for n, broker in enumerate(brokers):
            await broker.open(f"w{n}", lease_seconds=LEASE)
            await take(broker, 2)
        clock.advance(LEASE)
        async with opened(make_broker(), "z") as alive:
            taken = await alive.recover(100)
            assert sorted(names(taken)) == [str(n) for n in range(8)]
            assert {delivery.lost_by for delivery in taken} == {"w0", "w1", "w2", "w3"}
            assert await finish(alive, taken) == []
        for broker in brokers:
            await broker.close()

    @in_loop
    async def test_two_recoverers_share_and_do_not_overlap(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as dead:
            dead.publish([job(n) for n in range(10)])
            await take(dead)
            clock.advance(LEASE)
            async with opened(make_broker(), "b") as left, opened(make_broker(), "c") as right:
                one, two = await left.recover(4), await right.recover(100)
                assert len(one) == 4
                assert sorted(names(one + two), key=int) == [str(n) for n in range(10)]

    @in_loop
    async def test_a_recoverer_that_dies_leaves_it_to_the_next(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(1)])
            (held,) = await take(first)
            await first.mark_started([held])
            clock.advance(LEASE)
            await second.renew()
            (taken,) = await second.recover(10)
            clock.advance(LEASE)
            async with opened(make_broker(), "c") as third:
                (again,) = await third.recover(10)
                assert (again.lost_by, again.history, again.started) == ("b", (), True)
                assert len(await finish(second, [taken])) == 1
                assert await finish(third, [again]) == []

    @in_loop
    async def test_marks_of_started_messages_are_kept_for_who_recovers(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as dead, opened(make_broker(), "b", 1000) as alive:
            dead.publish([job(1), job(2)])
            one, _ = await take(dead)
            assert await dead.mark_started([one]) == []
            clock.advance(LEASE)
            taken = await alive.recover(10)
            assert {name: d.started for name, d in zip(names(taken), taken, strict=True)} == {"1": True, "2": False}
            assert await dead.mark_started([one]) == [one]
            await finish(alive, taken, Requeue(loss=LOSS))
            again = await take(alive)
            assert [(d.started, d.history) for d in again] == [(False, (LOSS,))] * 2

    @in_loop
    async def test_after_a_reboot_every_lease_has_run_out(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as before:
            before.publish([job(1)])
            await take(before)
            clock.reboot()
            async with opened(make_broker(), "b") as after:
                assert names(await after.recover(10)) == ["1"]


class FencingCases(Harness):
    """A worker whose lease was taken over can not write anything."""

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
            clock.advance(LEASE)
            taken = await second.recover(10)
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
