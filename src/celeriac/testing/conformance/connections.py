"""Where a lease is a connection: what is lost with one comes to others, and what still runs finds its message again."""

from __future__ import annotations

import pytest

from celeriac.brokers.base import Broker
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery, Loss
from celeriac.outcome import Acknowledge, Action, Bury, Keep, Requeue, Settlement
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.conditions import leases_end_with_connections
from celeriac.testing.conformance.support import (
    LEASE,
    PATIENCE,
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

LOSS = Loss(at=1.5, worker="a", reason="WorkerLostError: killed")


@leases_end_with_connections
class ConnectionCases(Harness):
    """What the dead held."""

    @in_loop
    async def test_what_a_lost_connection_held_is_recovered_and_counted(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as dead, opened(make_broker(), "b") as alive:
            dead.publish([job(n) for n in range(4)])
            await take(dead, 3)
            mine = await take(alive)
            assert await alive.recover(10) == []
            await self.end_leases(clock, "a")
            taken = await self._recovered(alive)
            assert sorted(names(taken)) == ["0", "1", "2"]
            assert all(one.lost_by and one.history == () for one in taken)
            assert await alive.recover(10) == []
            assert await finish(alive, taken, Requeue(loss=LOSS)) == []
            again = await take_all(alive)
            assert sorted(names(again)) == ["0", "1", "2"]
            assert all((one.history, one.lost_by) == ((LOSS,), None) for one in again)
            assert await finish(alive, again + mine) == []
            assert await alive.depth("q") == 0

    @in_loop
    async def test_what_the_dead_never_held_is_not_counted(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "b") as alive:
            async with opened(make_broker(), "a") as dead:
                dead.publish([job(1)])
                assert await dead.depth("q") == 1
                await self.end_leases(clock, "a")
            (one,) = await take(alive)
            assert (one.history, one.lost_by) == ((), None)

    @in_loop
    async def test_time_takes_nothing_from_the_living(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(1)])
            held = await take(first)
            for pass_time in (clock.advance, clock.jump):
                pass_time(100 * LEASE)
                assert await self._recovered(second) == []
                assert await first.renew()
            assert await finish(first, held) == []

    @in_loop
    async def test_a_name_is_free_when_its_connection_has_ended(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "same") as first:
            first.publish([job(1)])
            await take(first)
            await self.end_leases(clock, "same")
            async with opened(make_broker(), "same") as second:
                taken = await self._recovered(second)
                assert names(taken) == ["1"]
                with pytest.raises(OperationalError, match="same"):
                    await make_broker().open("same", lease_seconds=LEASE)
                # The first one is known to have been there before: it may go on, and holds nothing of the second's.
                await self.let_back("same")
                assert not await first.renew()
                assert await take(first) == await first.recover(10) == []
                assert await finish(second, taken) == []

    @in_loop
    async def test_who_dies_recovering_leaves_it_to_the_next(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(1)])
            await take(first)
            await self.end_leases(clock, "a")
            assert names(await self._recovered(second)) == ["1"]
            await self.end_leases(clock, "b")
            async with opened(make_broker(), "c") as third:
                (again,) = await self._recovered(third)
                # A store that counts by itself has counted both.
                assert (again.lost_by is not None, len(again.history) <= 1) == (True, True)
                assert await finish(third, [again]) == []

    @in_loop
    async def test_what_is_lost_for_the_second_time_had_been_started(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        """What was lost before is taken by who runs it at once, so it did run when it is lost again."""
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(n) for n in range(3)])
            await take(first)
            await self.end_leases(clock, "a")
            lost = await self._recovered(second)
            assert await finish(second, lost, Requeue(loss=LOSS)) == []
            one, *rest = await take(second, 1)
            assert rest == []
            assert await second.mark_started([one]) == []
            await self.end_leases(clock, "b")
            async with opened(make_broker(), "c") as third:
                others = await take_all(third)
                assert [other.history for other in others] == [(LOSS,), (LOSS,)]
                (again,) = await third.recover(10)
                assert (again.started, again.history, names([again])) == (True, (LOSS,), names([one]))
                assert await finish(third, [again, *others]) == []

    @in_loop
    async def test_close_gives_back_what_nobody_asked_for(self, make_broker: MakeBroker) -> None:
        """A broker may fetch more than it was asked for; whoever gets that next must not take it for lost."""
        async with opened(make_broker(), "b") as second:
            async with opened(make_broker(), "a") as first:
                first.publish([job(0)])
                seen = names(await first.reserve(["q"], 20, PATIENCE))
                first.publish([job(n) for n in range(1, 20)])
                seen += names(await first.reserve(["q"], 1, PATIENCE))
                assert seen == ["0", "1"]
            back = await take_all(second)
            assert sorted(names(back), key=int) == [str(n) for n in range(20)]
            assert all((one.history, one.lost_by) == ((), None) for one in back)
            assert await second.recover(10) == []

    async def _recovered(self, broker: Broker) -> list[Delivery]:
        await self.look_at_queue(broker)
        return await broker.recover(100)


@leases_end_with_connections
class AdoptionCases(Harness):
    """What the living held when their connection was lost."""

    @in_loop
    async def test_what_still_runs_is_not_given_out_again(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as broker:
            broker.publish([job(1), job(1), job(2)])  # two of them are the same, to the letter
            held = await take(broker)
            await self.end_leases(clock, "a")
            await self.let_back("a")
            assert not await broker.renew()
            assert await broker.renew()
            assert await take(broker) == []
            assert await broker.recover(10) == []
            assert await finish(broker, held) == []
            assert len(await finish(broker, held)) == 3
        await self._is_gone(make_broker)

    @in_loop
    async def test_a_second_loss_of_the_connection_is_outlived_too(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), "a") as broker:
            broker.publish([job(1)])
            held = await take(broker)
            for _ in range(2):
                await self.end_leases(clock, "a")
                await self.let_back("a")
                assert await take(broker) == []
                assert await broker.recover(10) == []
            assert await finish(broker, held) == []
        await self._is_gone(make_broker)

    @pytest.mark.parametrize(
        ("action", "comes_again", "dies"),
        [
            (Acknowledge(), False, False),
            (Requeue(), True, False),
            (Requeue(loss=LOSS), True, False),
            (Bury("broken"), False, True),
        ],
        ids=["acknowledge", "requeue", "lose", "bury"],
    )
    def test_an_outcome_of_meanwhile_is_written_when_its_message_is_back(
        self, make_broker: MakeBroker, clock: VirtualClock, action: Action, comes_again: bool, dies: bool
    ) -> None:
        @in_loop
        async def run() -> None:
            async with opened(make_broker(), "a") as broker:
                broker.publish([job(1)])
                (held,) = await take(broker)
                await self.end_leases(clock, "a")
                await self.let_back("a")
                assert await broker.settle([Settlement(held, action, follow_ups=(job("next", "next"),))]) == []
                again = await take(broker)
                assert names(await broker.reserve(["next"], 1, PATIENCE)) == ["next"]
                if comes_again:
                    again = again or await broker.reserve(["q"], 1, PATIENCE)
                assert names(again) == ["1"] * comes_again
                assert names(await broker.dead_letters()) == ["1"] * dies
                assert len(await finish(broker, [held])) == 1
                assert await finish(broker, again) == []
            await self._is_gone(make_broker)

        run()

    @pytest.mark.parametrize(
        "action",
        [Acknowledge(), Requeue(), Requeue(loss=LOSS), Bury("late"), Keep()],
        ids=["acknowledge", "requeue", "lose", "bury", "keep"],
    )
    def test_an_outcome_is_dropped_when_another_worker_has_the_message(
        self, make_broker: MakeBroker, clock: VirtualClock, action: Action
    ) -> None:
        @in_loop
        async def run() -> None:
            async with opened(make_broker(), "old") as old, opened(make_broker(), "new") as new:
                old.publish([job(1)])
                (held,) = await take(old)
                await self.end_leases(clock, "old")
                await self.look_at_queue(new)
                (taken,) = await new.recover(10)
                await self.let_back("old")
                await old.settle([Settlement(held, action, follow_ups=(job("next", "next"),))])
                assert await take(old) == []
                assert await new.depth("q") == await new.depth("next") == 0
                assert await new.dead_letters() == []
                assert await finish(new, [taken]) == []
                assert await take(old) == await old.recover(10) == []
            await self._is_gone(make_broker)

        run()

    async def _is_gone(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker(), "another") as other:
            assert await take_all(other) == []
            assert await other.recover(10) == []
            assert await other.depth("q") == 0
