"""Future work: nothing is taken before its time, and all of it then."""

from __future__ import annotations

from typing import Final

from celeriac.message import Delivery, Message
from celeriac.outcome import Requeue, Settlement
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.conditions import (
    has_levels,
    never_sees_future_work,
    time_can_be_turned,
    time_is_real,
)
from celeriac.testing.conformance.support import (
    PATIENCE,
    Harness,
    MakeBroker,
    finish,
    in_loop,
    job,
    names,
    opened,
    same_message,
    take,
    take_all,
)

#: Seconds by which a busy machine may make things late.
LATE: Final = 3.0


@time_can_be_turned
class DueCases(Harness):
    """Future work."""

    @in_loop
    async def test_nothing_is_delivered_before_its_time_nor_twice(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), lease_seconds=1000) as broker:
            broker.publish([job("later", not_before=clock.time() + 60), job("now")])
            assert names(await take(broker)) == ["now"]
            clock.advance(59)
            assert await take(broker) == []
            clock.advance(1)
            assert names(await take(broker)) == ["later"]
            assert await take(broker) == []

    @in_loop
    async def test_due_messages_come_in_the_order_of_their_times(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker(), lease_seconds=1000) as broker:
            start = clock.time()
            broker.publish([job(f"in {n}", not_before=start + n) for n in (30, 10, 20, 10.5)])
            broker.publish([job("too late", not_before=start - 1)])
            assert names(await take(broker)) == ["too late"]
            clock.advance(100)
            assert names(await take(broker)) == ["in 10", "in 10.5", "in 20", "in 30"]

    @has_levels
    @in_loop
    async def test_due_messages_keep_their_level(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("low", priority=9, not_before=clock.time() + 1)])
            broker.publish([job("high", priority=0, not_before=clock.time() + 2)])
            broker.publish([job("middle", priority=5)])
            clock.advance(5)
            assert names(await take(broker)) == ["high", "middle", "low"]

    @in_loop
    async def test_thousands_that_become_due_at_once(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), lease_seconds=1000) as broker:
            due = clock.time() + 60
            broker.publish([job(n, not_before=due) for n in range(3000)])
            clock.advance(60)
            seen: list[str] = []
            while deliveries := await take(broker, 700):
                seen.extend(names(deliveries))
                assert await finish(broker, deliveries) == []
            assert seen == [str(n) for n in range(3000)]

    @in_loop
    async def test_due_times_follow_the_wall_clock(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1, not_before=clock.time() + 60)])
            clock.jump(61)
            assert names(await take(broker)) == ["1"]

    @in_loop
    async def test_far_and_odd_times(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("never", not_before=float("inf")), job("nan", not_before=float("nan"))])
            broker.publish([job("long ago", not_before=-1e18), job("zero", not_before=0)])
            clock.advance(5)
            assert sorted(names(await take(broker))) == ["long ago", "nan", "zero"]


@time_is_real
class RealDueCases(Harness):
    """Future work where time is real: whole seconds, as few as can be, and no looks in between."""

    @in_loop
    async def test_what_is_due_later_comes_at_its_time_and_wakes(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        due = clock.time() + 1.3
        async with opened(make_broker()) as broker:
            broker.publish([job("later", not_before=due), job("now")])
            assert names(await take(broker)) == ["now"]
            (later,) = await broker.reserve(["q"], 10, PATIENCE)
            assert due <= clock.time() < due + LATE
            assert names([later]) == ["later"]
            assert await take(broker) == []
            assert await finish(broker, [later]) == []

    @in_loop
    async def test_real_due_messages_come_in_the_order_of_their_times(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        """Those of one second too, whichever way they took."""
        async with opened(make_broker()) as broker:
            broker.publish([job("first of all", not_before=clock.time() + 1)])
            assert names(await broker.reserve(["q"], 10, PATIENCE)) == ["first of all"]  # all there is to set up is
            start = clock.time()
            broker.publish([job(f"in {n}", not_before=start + n) for n in (2.3, 1.9, 0.9, 1.7)])
            broker.publish([job("too late", not_before=start - 1)])
            seen: list[str] = []
            while len(seen) < 5:
                seen += names(await broker.reserve(["q"], 10, PATIENCE))
            assert seen == ["too late", "in 0.9", "in 1.7", "in 1.9", "in 2.3"]
            assert clock.time() >= start + 2.3

    @in_loop
    async def test_thousands_that_become_really_due_at_once(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker()) as broker:
            due = clock.time() + 2
            broker.publish([job(n, not_before=due) for n in range(3000)])
            seen: list[str] = []
            while len(seen) < 3000:
                deliveries = await broker.reserve(["q"], 700, PATIENCE)
                assert clock.time() >= due
                seen += names(deliveries)
                assert await finish(broker, deliveries) == []
            assert seen == [str(n) for n in range(3000)]
            assert await take(broker) == []

    @in_loop
    async def test_odd_times_are_at_once_or_never(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("never", not_before=float("inf")), job("nan", not_before=float("nan"))])
            broker.publish([job("long ago", not_before=-1e18), job("zero", not_before=0)])
            assert sorted(names(await take_all(broker))) == ["long ago", "nan", "zero"]

    @in_loop
    async def test_retries_and_follow_ups_wait_for_their_time(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1, priority=3)])
            again = Message({"id": "again", "retries": 1}, {}, b"other", "application/x-yaml", "binary")
            (held,) = await take(broker)
            due = clock.time() + 1.2
            follow_ups = (job("after", not_before=due), job("next"))
            assert await broker.settle([Settlement(held, Requeue(again, due), follow_ups=follow_ups)]) == []
            assert names(await take(broker)) == ["next"]
            taken: list[Delivery] = []
            while len(taken) < 2:
                taken += await broker.reserve(["q"], 10, PATIENCE)
                assert due <= clock.time() < due + LATE
            by_name = dict(zip(names(taken), taken, strict=True))
            assert same_message(by_name["again"].message, again)
            assert (by_name["again"].priority, by_name["again"].history, by_name["again"].queue) == (3, (), "q")
            assert by_name["after"].history == ()

    @never_sees_future_work
    @in_loop
    async def test_future_work_is_neither_counted_nor_purged(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("later", not_before=clock.time() + 1.1), job("now")])
            assert await broker.depth("q") == 1
            assert await broker.purge("q") == 1
            assert await broker.depth("q") == 0
            assert names(await broker.reserve(["q"], 10, PATIENCE)) == ["later"]
