"""Looking after queues: dead letters, depths, purges."""

from __future__ import annotations

from celeriac.message import Loss, Publication
from celeriac.outcome import Bury, Requeue
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.conditions import browses_dead_letters
from celeriac.testing.conformance.support import (
    Harness,
    MakeBroker,
    finish,
    in_loop,
    job,
    message,
    names,
    opened,
    same_message,
    take,
)


@browses_dead_letters
class DeadLetterCases(Harness):
    """What can not be run is kept."""

    @in_loop
    async def test_a_dead_letter_tells_all(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        first, last = Loss(1.0, "a", "killed"), Loss(2.0, "b", "killed again")
        async with opened(make_broker()) as broker:
            broker.publish([job(1, priority=6)])
            await finish(broker, await take(broker), Requeue(loss=first))
            clock.advance(3)
            assert await finish(broker, await take(broker), Bury("lost 2 times", last)) == []
            (letter,) = await broker.dead_letters("q")
            assert same_message(letter.message, message(1))
            assert (letter.queue, letter.priority, letter.reason) == ("q", 6, "lost 2 times")
            assert self.is_now(letter.at, clock)
            assert letter.history == (first, last)
            assert await broker.depth("q") == 0
            assert await take(broker) == []

    @in_loop
    async def test_browsing(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            for n in range(5):
                broker.publish([job(n, "a" if n % 2 else "b")])
                await finish(broker, await take(broker, 1, "a", "b"), Bury("no"))
            assert names(await broker.dead_letters()) == ["4", "3", "2", "1", "0"]
            assert names(await broker.dead_letters("a")) == ["3", "1"]
            assert names(await broker.dead_letters(limit=2, offset=1)) == ["3", "2"]
            assert await broker.dead_letters("c") == []

    @in_loop
    async def test_requeued_ones_start_afresh(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1, priority=4)])
            await finish(broker, await take(broker), Bury("no", Loss(1.0, "a", "killed")))
            (letter,) = await broker.dead_letters()
            assert await broker.requeue_dead_letters([letter.tag, letter.tag, 10**9]) == 1
            assert await broker.dead_letters() == []
            (delivery,) = await take(broker)
            assert same_message(delivery.message, message(1))
            assert (delivery.history, delivery.priority) == ((), 4)

    @in_loop
    async def test_purging_them(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1, "a"), job(2, "a"), job(3, "b")])
            await finish(broker, await take(broker, 10, "a", "b"), Bury("no"))
            assert await broker.purge_dead_letters("a") == 2
            assert names(await broker.dead_letters()) == ["3"]
            assert await broker.purge_dead_letters() == 1
            assert await broker.purge_dead_letters() == 0


class UpkeepCases(Harness):
    """Depth and purge."""

    @in_loop
    async def test_depth_counts_what_is_not_held(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker()) as broker:
            assert await broker.depth("q") == 0
            broker.publish([job(1), job(2, priority=9), job(3, not_before=clock.time() + 60), job(4, "other")])
            waiting = 3 if broker.capabilities.sees_future_work else 2
            assert await broker.depth("q") == waiting
            await take(broker, 1)
            assert await broker.depth("q") == waiting - 1

    @in_loop
    async def test_purge_leaves_what_is_held_and_other_queues(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(4)])
            broker.publish([job("later", not_before=clock.time() + 60), Publication(message("x"), "other")])
            held = await take(broker, 1)
            assert await broker.purge("q") == (4 if broker.capabilities.sees_future_work else 3)
            assert await broker.purge("q") == 0
            assert await broker.depth("q") == 0
            assert await broker.depth("other") == 1
            if broker.capabilities.sees_future_work:
                clock.advance(60)
            assert await take(broker) == []
            assert await finish(broker, held) == []
