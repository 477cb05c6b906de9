"""Leases: who holds what, and what a dead worker's messages meet."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.exceptions import OperationalError
from celeriac.message import Loss
from celeriac.outcome import Requeue
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.conditions import leases_end_by_time
from celeriac.testing.conformance.support import (
    LEASE,
    Harness,
    MakeBroker,
    finish,
    in_loop,
    job,
    names,
    opened,
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

    @leases_end_by_time
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

    @leases_end_by_time
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
            await self.end_leases(clock, "a")
            await self.let_back("a")
            async with asyncio.timeout(LEASE):
                while await first.renew():  # a connection that has ended says so in its own time
                    assert not first.capabilities.timed_leases
                    await asyncio.sleep(0.01)
            assert await first.renew()
            first.publish([job(1)])
            await take(first)
            assert await second.recover(10) == []

    @leases_end_by_time
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

    @leases_end_by_time
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

    @leases_end_by_time
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

    @leases_end_by_time
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
            to_front = second.capabilities.returns_to_front
            assert names(deliveries) == (["0", "1", "2", "3"] if to_front else ["3", "0", "1", "2"])
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

    @leases_end_by_time
    @in_loop
    async def test_only_the_dead_are_recovered_from(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as dead, opened(make_broker(), "b") as alive:
            dead.publish([job(n) for n in range(4)])
            await take(dead, 2)
            mine = await take(alive, 1)
            assert await alive.recover(10) == []
            for _ in range(2):
                clock.advance(LEASE / 2 - 0.5)
                assert await alive.renew()
                assert await alive.recover(10) == []
            clock.advance(1)
            taken = await alive.recover(10)
            assert sorted(names(taken)) == ["0", "1"]
            assert {delivery.lost_by for delivery in taken} == {"a"}
            assert await alive.recover(10) == []
            assert await finish(alive, taken + mine) == []

    @leases_end_by_time
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
            await self.end_leases(clock, "a")
            await self.look_at_queue(alive)
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
        await self.end_leases(clock, "w0", "w1", "w2", "w3")
        async with opened(make_broker(), "z") as alive:
            await self.look_at_queue(alive)
            taken = await alive.recover(100)
            assert sorted(names(taken)) == [str(n) for n in range(8)]
            if alive.capabilities.timed_leases:
                assert {delivery.lost_by for delivery in taken} == {"w0", "w1", "w2", "w3"}
            assert None not in {delivery.lost_by for delivery in taken}
            assert await finish(alive, taken) == []
        for broker in brokers:
            await broker.close()

    @leases_end_by_time
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

    @leases_end_by_time
    @in_loop
    async def test_a_recoverer_that_dies_leaves_it_to_the_next(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(1)])
            (held,) = await take(first)
            await first.mark_started([held])
            for _ in range(2):
                clock.advance(LEASE / 2)
                assert await second.renew()
            (taken,) = await second.recover(10)
            clock.advance(LEASE)
            async with opened(make_broker(), "c") as third:
                (again,) = await third.recover(10)
                assert (again.lost_by, again.history, again.started) == ("b", (), True)
                assert len(await finish(second, [taken])) == 1
                assert await finish(third, [again]) == []

    @leases_end_by_time
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

    @leases_end_by_time
    @pytest.mark.parametrize("first_call", ["recover", "renew", "reserve"])
    def test_after_an_outage_longer_than_the_lease_the_living_keep_what_they_hold(
        self, make_broker: MakeBroker, clock: VirtualClock, first_call: str
    ) -> None:
        """Whoever comes first after it must not take the others' absence for their death."""

        @in_loop
        async def run() -> None:
            async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
                first.publish([job(n) for n in range(3)])
                held = [await take(first, 1), await take(second, 1)]
                clock.advance(LEASE * 2)
                if first_call == "renew":
                    assert not await first.renew()
                elif first_call == "reserve":
                    held[0] += await take(first, 1)
                assert await first.recover(10) == []
                clock.advance(LEASE / 4)
                assert not await second.renew()
                for _ in range(10):
                    assert await first.recover(10) == await second.recover(10) == []
                    clock.advance(LEASE / 4)
                    await first.renew()
                    assert await second.renew()
                assert await finish(first, held[0]) == await finish(second, held[1]) == []

        run()

    @leases_end_by_time
    @in_loop
    async def test_after_an_outage_the_dead_are_recovered_from_one_lease_later(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as dead, opened(make_broker(), "b") as alive:
            dead.publish([job(1)])
            await take(dead)
            clock.advance(LEASE * 2)
            assert await alive.recover(10) == []
            assert not await alive.renew()
            for _ in range(4):
                assert await alive.recover(10) == []
                clock.advance(LEASE / 4)
                assert await alive.renew()
            assert names(await alive.recover(10)) == ["1"]

    @leases_end_by_time
    @in_loop
    async def test_a_renewal_that_came_late_is_taken_for_an_outage_too(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        """An outage shorter than the lease makes others lapse whose last renewal was longer ago."""
        async with opened(make_broker(), "b") as second:
            second.publish([job(1)])
            held = await take(second)
            clock.advance(LEASE / 4)
            async with opened(make_broker(), "a") as first:
                clock.advance(LEASE * 0.8)
                assert await first.renew()
                assert await first.recover(10) == []
                assert not await second.renew()
                clock.advance(LEASE / 4)
                assert await first.recover(10) == []
                assert await finish(second, held) == []

    @leases_end_by_time
    @in_loop
    async def test_a_renewal_and_a_recovery_that_both_waited_take_nothing_from_the_living(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        """A store that stood still answers all that came meanwhile, one right after the other."""
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            second.publish([job(1)])
            held = await take(second)
            clock.advance(LEASE * 2)
            _, recovered = await asyncio.gather(first.renew(), first.recover(10))
            assert recovered == []
            assert not await second.renew()
            assert await finish(second, held) == []

    @in_loop
    async def test_large_messages_come_over_several_calls(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        large = b"x" * 9_000_000
        async with opened(make_broker(), "a") as dead, opened(make_broker(), "b", 1000) as alive:
            dead.publish([job(n, body=large) for n in range(5)])
            held: list[str] = []
            while taken := await take(dead):
                held += names(taken)
            assert held == ["0", "1", "2", "3", "4"]
            await self.end_leases(clock, "a")
            await self.look_at_queue(alive)
            recovered: list[str] = []
            while taken := await alive.recover(10):
                recovered += names(taken)
                await self.look_at_queue(alive)
            assert sorted(recovered) == held

    @leases_end_by_time
    @in_loop
    async def test_after_a_reboot_every_lease_has_run_out(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as before:
            before.publish([job(1)])
            await take(before)
            clock.reboot()
            async with opened(make_broker(), "b") as after:
                assert names(await after.recover(10)) == ["1"]
