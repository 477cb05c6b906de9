"""Settlements: written whole or not at all, with results and follow-ups in the same step."""

from __future__ import annotations

import asyncio

from celeriac.message import Loss, Message
from celeriac.outcome import Acknowledge, Action, Bury, Keep, Requeue, Settlement
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.conditions import (
    gives_back_to_back,
    gives_back_to_front,
    has_levels,
    time_can_be_turned,
)
from celeriac.testing.conformance.support import (
    Harness,
    MakeBackend,
    MakeBroker,
    failure,
    finish,
    in_loop,
    is_stored,
    job,
    message,
    names,
    opened,
    same_message,
    success,
    take,
    take_all,
)


class SettlingCases(Harness):
    """Acknowledge, requeue, bury, keep, release."""

    @in_loop
    async def test_what_is_acknowledged_is_gone(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker(), "a") as broker:
            broker.publish([job(n) for n in range(300)])
            assert await finish(broker, await take(broker, 200)) == []
            assert await broker.depth("q") == 100
            assert await broker.settle([]) == []
        async with opened(make_broker(), "b") as broker:
            assert len(await take(broker, 1000)) == 100

    @in_loop
    async def test_requeue_goes_to_the_back(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(3)])
            (first,) = await take(broker, 1)
            assert await finish(broker, [first], Requeue()) == []
            deliveries = await take(broker)
            assert names(deliveries) == ["1", "2", "0"]
            assert deliveries[-1].history == ()
            assert (deliveries[-1].message, deliveries[-1].priority) == (first.message, first.priority)
            assert (deliveries[-1].tag, deliveries[-1].token) != (first.tag, first.token)

    @in_loop
    async def test_what_was_lost_comes_again_before_what_came_after_it(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(3)])
            first = await take(broker, 1)
            assert await finish(broker, first, Requeue(loss=Loss(1.0, "w", "killed"))) == []
            broker.publish([job(3)])
            assert names(await take_all(broker)) == ["0", "1", "2", "3"]

    @time_can_be_turned
    @in_loop
    async def test_a_retry_replaces_the_message_and_waits_for_its_time(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1, priority=3)])
            again = Message({"id": "1", "retries": 1}, {"p": 1}, b"other", "application/x-yaml", "binary")
            action = Requeue(again, clock.time() + 5)
            assert await finish(broker, await take(broker), action) == []
            assert await take(broker) == []
            assert await broker.depth("q") == 1
            clock.advance(5)
            (delivery,) = await take(broker)
            assert same_message(delivery.message, again)
            assert (delivery.priority, delivery.history, delivery.queue) == (3, (), "q")

    @in_loop
    async def test_losses_make_a_history(self, make_broker: MakeBroker) -> None:
        losses = [Loss(float(n), f"w{n}", f"killed by signal {n} \u00fc") for n in range(3)]
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            for n, loss in enumerate(losses):
                (delivery,) = await take(broker)
                assert delivery.history == tuple(losses[:n])
                assert delivery.redelivered == bool(n)
                assert await finish(broker, [delivery], Requeue(loss=loss)) == []
            retried = Requeue(message(1, b"retried"))
            assert await finish(broker, await take(broker), retried) == []
            (delivery,) = await take(broker)
            assert delivery.history == tuple(losses)
            assert delivery.message.body == b"retried"

    @gives_back_to_back
    @in_loop
    async def test_release_goes_to_the_back_uncounted(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(6)])
            taken = await take(broker, 4)
            await broker.release([taken[2], taken[0], taken[1]])
            await broker.release([])
            broker.publish([job(6)])
            deliveries = await take_all(broker)
            assert names(deliveries) == ["4", "5", "2", "0", "1", "6"]
            assert all((one.history, one.lost_by) == ((), None) for one in deliveries)
            assert await broker.recover(10) == []
            assert await finish(broker, [taken[3]]) == []
            assert await finish(broker, taken[:3]) != []

    @gives_back_to_front
    @in_loop
    async def test_release_goes_back_to_the_front_in_the_old_order(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(6)])
            taken = await take(broker, 4)
            await broker.release([taken[2], taken[0], taken[1]])
            await broker.release([])
            broker.publish([job(6)])
            deliveries = await take(broker)
            assert names(deliveries) == ["0", "1", "2", "4", "5", "6"]
            assert all(delivery.history == () for delivery in deliveries)
            assert await finish(broker, [taken[3]]) == []

    @has_levels
    @in_loop
    async def test_release_keeps_the_level(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("low", priority=7)])
            taken = await take(broker)
            broker.publish([job("low 2", priority=7), job("high", priority=1)])
            await broker.release(taken)
            assert names(await take(broker)) == ["high", "low", "low 2"]

    @in_loop
    async def test_keep_leaves_the_delivery_as_it_is(self, make_broker: MakeBroker, make_backend: MakeBackend) -> None:
        backend = make_backend()
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            (held,) = await take(broker)
            started = Settlement(held, Keep(), failure("1", "first"), (job("next", "next"),))
            assert await broker.settle([started]) == []
            assert backend.load("1") is not None
            assert await broker.depth("next") == 1
            assert await take(broker) == []
            assert await finish(broker, [held]) == []


class OneStepCases(Harness):
    """Result and follow-ups travel with the settlement."""

    @time_can_be_turned
    @in_loop
    async def test_result_and_follow_ups_are_written_with_the_acknowledgement(
        self, make_broker: MakeBroker, make_backend: MakeBackend, clock: VirtualClock
    ) -> None:
        backend = make_backend()
        async with opened(make_broker()) as broker:
            assert broker.stores_results_of(backend)
            broker.publish([job(n) for n in range(3)])
            held = await take(broker)
            batch = [
                Settlement(
                    delivery,
                    Acknowledge(),
                    success(str(n), f"result {n}", 60.0),
                    (job(f"{n}a", "next"), job(f"{n}b", "next", not_before=clock.time() + 5)),
                )
                for n, delivery in enumerate(held)
            ]
            assert await broker.settle(batch) == []
            for n in range(3):
                assert is_stored(backend.load(str(n)), success(str(n), f"result {n}", 60.0), self.ttl_tolerance)
            assert names(await take(broker, 10, "next")) == ["0a", "1a", "2a"]
            clock.advance(5)
            assert names(await take(broker, 10, "next")) == ["0b", "1b", "2b"]

    @in_loop
    async def test_refused_settlements_write_neither_result_nor_follow_up(
        self, make_broker: MakeBroker, make_backend: MakeBackend
    ) -> None:
        backend = make_backend()
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(3)])
            held = await take(broker)
            await finish(broker, [held[1]])
            batch = [
                Settlement(d, Acknowledge(), success(str(n)), (job(f"after {n}", "next"),)) for n, d in enumerate(held)
            ]
            assert await broker.settle(batch) == [batch[1]]
            assert backend.load("1") is None
            assert names(await take(broker, 10, "next")) == ["after 0", "after 2"]

    @in_loop
    async def test_a_batch_of_all_kinds(self, make_broker: MakeBroker, make_backend: MakeBackend) -> None:
        backend = make_backend()
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(5)])
            held = await take(broker)
            actions: list[Action] = [Acknowledge(), Requeue(), Bury("broken"), Keep(), Acknowledge()]
            batch = [
                Settlement(d, action, success(str(n))) for n, (d, action) in enumerate(zip(held, actions, strict=True))
            ]
            assert await broker.settle(batch) == []
            assert all(backend.load(str(n)) for n in range(5))
            assert names(await take(broker)) == ["1"]
            assert names(await broker.dead_letters()) == ["2"]
            assert await finish(broker, [held[3]]) == []

    @in_loop
    async def test_success_is_final_for_settlements_too(
        self, make_broker: MakeBroker, make_backend: MakeBackend
    ) -> None:
        backend = make_backend()
        backend.store([success("1", "first")])
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            held = await take(broker)
            assert await broker.settle([Settlement(held[0], Acknowledge(), failure("1"))]) == []
            assert backend.load("1") == success("1", "first")

    @in_loop
    async def test_settling_wakes_who_waits_for_the_result(
        self, make_broker: MakeBroker, make_backend: MakeBackend
    ) -> None:
        backend = make_backend()
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            held = await take(broker)
            waiting = asyncio.create_task(backend.await_ready("1", 20))
            await asyncio.sleep(0.02)
            await broker.settle([Settlement(held[0], Acknowledge(), success("1"))])
            assert await waiting == success("1")


class UnfencedCases(Harness):
    """Deliveries that were acknowledged before their run."""

    @in_loop
    async def test_keep_writes_result_and_follow_ups(self, make_broker: MakeBroker, make_backend: MakeBackend) -> None:
        backend = make_backend()
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            held = await take(broker)
            assert await finish(broker, held) == []
            late = Settlement(held[0], Keep(), success("1"), (job("next"),), fenced=False)
            assert await broker.settle([late]) == []
            assert backend.load("1") == success("1")
            assert names(await take(broker)) == ["next"]

    @in_loop
    async def test_bury_takes_the_message_from_the_delivery(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1, priority=2)])
            held = await take(broker)
            assert await finish(broker, held) == []
            assert await broker.settle([Settlement(held[0], Bury("rejected"), fenced=False)]) == []
            (letter,) = await broker.dead_letters()
            assert same_message(letter.message, message(1))
            assert (letter.queue, letter.priority, letter.reason) == ("q", 2, "rejected")
            assert self.is_now(letter.at, clock)
