"""Queues: what is published comes out whole, once, in order, at its time."""

from __future__ import annotations

import asyncio
import time

import pytest

from celeriac.exceptions import CeleriacError, OperationalError, StoreRefused
from celeriac.message import Message, Publication
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.conditions import (
    drops_properties,
    has_bounded_names,
    has_levels,
    has_one_level,
    takes_all_properties,
    time_can_be_turned,
)
from celeriac.testing.conformance.support import (
    PATIENCE,
    ROUNDS,
    Bells,
    Crew,
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


class OrderCases(Harness):
    """Order, levels, turns, limits."""

    @in_loop
    async def test_messages_come_in_the_order_of_publishing(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(5)])
            broker.publish([job(5)])
            await broker.apublish([job(6), job(7)])
            assert names(await take(broker)) == [str(n) for n in range(8)]

    @in_loop
    async def test_a_delivery_is_what_was_published(self, make_broker: MakeBroker) -> None:
        sent = Message(
            {"id": "1", "x": [1, None, {"y": 2.5}]}, {"reply_to": "r"}, b"\x00\xff", "application/x", "binary"
        )
        async with opened(make_broker()) as broker:
            broker.publish([Publication(sent, "q", priority=4)])
            (delivery,) = await take(broker)
        assert same_message(delivery.message, sent)
        assert (delivery.queue, delivery.priority, delivery.history) == ("q", 4, ())
        assert not delivery.started
        assert not delivery.redelivered
        assert delivery.lost_by is None

    @in_loop
    async def test_a_message_changed_after_its_publication_is_stored_as_it_was(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            sent = job(1)
            broker.publish([sent])
            sent.message.headers["id"] = "changed"
            assert names(await take(broker)) == ["1"]

    @in_loop
    async def test_what_is_taken_is_not_taken_again(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(n) for n in range(6)])
            assert names(await take(first, 3)) == ["0", "1", "2"]
            assert names(await take(second, 2)) == ["3", "4"]
            assert names(await take(first)) == ["5"]
            assert await take(second) == []

    @has_levels
    @in_loop
    async def test_lower_numbers_are_taken_first_and_order_holds_inside_a_level(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            # Also a broker with four levels (Celery's steps 0, 3, 6 and 9) keeps these apart.
            broker.publish([job(f"{level}{n}", priority=level) for n in "ab" for level in (6, 9, 0, 3)])
            assert names(await take(broker, 3)) == ["0a", "0b", "3a"]
            broker.publish([job("1a", priority=1)])
            assert names(await take(broker)) == ["1a", "3b", "6a", "6b", "9a", "9b"]

    @has_levels
    @in_loop
    async def test_priorities_outside_the_scale_count_as_the_nearest_level(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("low", priority=99), job("high", priority=-3), job("middle", priority=5)])
            assert names(await take(broker)) == ["high", "middle", "low"]

    @has_one_level
    @in_loop
    async def test_priorities_without_levels_travel_and_change_nothing(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n, priority=level) for n, level in enumerate((6, 99, 0, -3))])
            taken = await take(broker)
            assert [(delivery.priority, name) for delivery, name in zip(taken, names(taken), strict=True)] == [
                (6, "0"), (9, "1"), (0, "2"), (0, "3")
            ]  # fmt: skip
            await broker.release(taken)
            assert sorted(delivery.priority for delivery in await take(broker)) == [0, 0, 6, 9]

    @in_loop
    async def test_queues_take_turns_at_being_first(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(f"{queue}{n}", queue) for queue in ("a", "b", "c") for n in range(20)])
            firsts = {(await take(broker, 2, "a", "b", "c"))[0].queue for _ in range(3)}
            assert firsts == {"a", "b", "c"}

    @in_loop
    async def test_one_call_takes_from_several_queues(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("a1", "a"), job("b1", "b"), job("c1", "c")])
            assert sorted(names(await take(broker, 10, "a", "b"))) == ["a1", "b1"]
            assert names(await take(broker, 10, "c")) == ["c1"]

    @in_loop
    async def test_limit_is_kept(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(10)])
            assert len(await take(broker, 4)) == 4
            assert await take(broker, 0) == []
            assert len(await take(broker, 4)) == 4
            assert len(await take(broker, 4)) == 2

    @in_loop
    async def test_publishing_is_all_or_nothing(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            unfit = Publication(Message({"id": object()}, {}, b""), "q")
            with pytest.raises(CeleriacError):
                broker.publish([job(1), unfit, job(2)])
            assert await take(broker) == []
            broker.publish([])
            assert await broker.depth("q") == 0

    @in_loop
    async def test_reserve_needs_open(self, make_broker: MakeBroker) -> None:
        with pytest.raises(OperationalError, match="open"):
            await take(make_broker())

    @in_loop
    async def test_publish_works_without_open_and_after_disconnect(self, make_broker: MakeBroker) -> None:
        producer = make_broker()
        producer.publish([job(1)])
        producer.disconnect()
        producer.disconnect()
        producer.publish([job(2)])
        async with opened(make_broker()) as broker:
            assert names(await take(broker)) == ["1", "2"]

    @pytest.mark.parametrize(
        "queue", ["schlange-\u00fc-\U0001f955", "with space", "q'; DROP TABLE message; --", "a/b:c*?"]
    )
    def test_queue_names_are_only_names(self, make_broker: MakeBroker, queue: str) -> None:
        @in_loop
        async def run() -> None:
            async with opened(make_broker()) as broker:
                broker.publish([job(1, queue), job(2, "other")])
                assert names(await take(broker, 10, queue)) == ["1"]

        run()

    @in_loop
    async def test_long_names(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            longest = min(broker.capabilities.longest_name or 300, 300)
            queue, other = "x" * longest, "x" * (longest - 1)
            broker.publish([job(1, queue), job(2, other)])
            assert names(await take(broker, 10, queue)) == ["1"]
            assert await broker.depth(other) == 1

    @has_bounded_names
    @in_loop
    async def test_a_name_that_is_too_long_is_refused(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            bound = broker.capabilities.longest_name
            assert bound is not None
            for queue in ("x" * (bound + 1), "\u00fc" * (bound // 2 + 1)):
                with pytest.raises(StoreRefused, match="bytes"):
                    await take(broker, 1, queue)
            with pytest.raises(StoreRefused, match="bytes"):
                broker.publish([job(1), job(2, "x" * 2 * bound)])
            assert await take(broker) == []

    @in_loop
    async def test_odd_messages_come_out_as_they_went_in(self, make_broker: MakeBroker) -> None:
        odd = [
            Message({}, {}, b""),
            Message({"id": "", "deep": {"a": [[[{}]]]}}, {}, b"x" * 1_000_000),
            Message({"\u00fc": "\U0001f955\x00\n", "big": 2**80, "neg": -1, "half": 0.1}, {}, bytes(range(256))),
            Message({"lone": "\ud800"}, {}, b"not json", "", ""),
        ]
        async with opened(make_broker()) as broker:
            broker.publish([Publication(item, "q") for item in odd])
            taken = [delivery.message for delivery in await take(broker)]
            assert len(taken) == len(odd)
            assert all(map(same_message, taken, odd))

    @takes_all_properties
    @in_loop
    async def test_odd_properties_come_out_as_they_went_in(self, make_broker: MakeBroker) -> None:
        sent = Message({"id": "1"}, {"deep": {"a": [[[{}]]]}, "\u00fc": "\U0001f955\x00\n", "big": 2**80}, b"")
        async with opened(make_broker()) as broker:
            broker.publish([Publication(sent, "q")])
            assert same_message((await take(broker))[0].message, sent)

    @drops_properties
    @in_loop
    async def test_the_properties_that_tasks_have_travel(self, make_broker: MakeBroker) -> None:
        known = {"correlation_id": "c", "reply_to": "r", "delivery_mode": 1, "expiration": "60000", "type": "t"}
        sent = Message({"id": "1"}, {**known, "another": 1}, b"")
        async with opened(make_broker()) as broker:
            broker.publish([Publication(sent, "q")])
            got = (await take(broker))[0].message
            assert got.properties.items() >= known.items()
            assert "another" not in got.properties


class WaitingCases(Harness):
    """`reserve` with time to wait."""

    @in_loop
    async def test_an_empty_queue_is_waited_for(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            started = time.monotonic()
            assert await broker.reserve(["q"], 1, 0.05) == []
            assert time.monotonic() - started >= 0.04

    @in_loop
    async def test_publish_from_another_thread_wakes(self, make_broker: MakeBroker) -> None:
        crew = Crew()
        async with opened(make_broker()) as broker:
            waiting = asyncio.create_task(broker.reserve(["q"], 1, PATIENCE))
            await asyncio.sleep(0)
            crew.start(lambda: make_broker().publish([job(1)]))
            assert names(await waiting) == ["1"]
            crew.join()

    @in_loop
    async def test_waiting_is_woken_and_does_not_poll(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            bells = Bells(make_broker().publish)
            for n in range(ROUNDS):
                bells.ring_soon([job(n)])
                deliveries = await broker.reserve(["q", "other"], 1, PATIENCE)
                bells.heard()
                assert names(deliveries) == [str(n)]
                assert await finish(broker, deliveries) == []
            bells.check()

    @time_can_be_turned
    @in_loop
    async def test_what_becomes_due_wakes(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1, not_before=clock.time() + 5)])
            waiting = asyncio.create_task(broker.reserve(["q"], 1, PATIENCE))
            await asyncio.sleep(0.02)
            assert not waiting.done()
            clock.advance(5)
            assert names(await waiting) == ["1"]

    @in_loop
    async def test_what_is_given_back_wakes_another_worker(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(1)])
            deliveries = await take(first)
            waiting = asyncio.create_task(second.reserve(["q"], 1, PATIENCE))
            await asyncio.sleep(0.02)
            await first.release(deliveries)
            assert names(await waiting) == ["1"]

    @in_loop
    async def test_two_may_wait_on_one_broker(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            left = asyncio.create_task(broker.reserve(["left"], 1, PATIENCE))
            right = asyncio.create_task(broker.reserve(["right"], 1, PATIENCE))
            await asyncio.sleep(0.02)
            make_broker().publish([job("r", "right"), job("l", "left")])
            assert names(await left) == ["l"]
            assert names(await right) == ["r"]

    @in_loop
    async def test_close_ends_waiting(self, make_broker: MakeBroker) -> None:
        broker = make_broker()
        await broker.open("w", lease_seconds=10)
        waiting = asyncio.create_task(broker.reserve(["q"], 1, PATIENCE))
        await asyncio.sleep(0.02)
        await broker.close()
        assert await waiting == []

    @in_loop
    async def test_a_cancelled_reserve_loses_nothing(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            for n in range(20):
                waiting = asyncio.create_task(broker.reserve(["q"], 1, PATIENCE))
                await asyncio.sleep(0)
                broker.publish([job(n)])
                waiting.cancel()
                await asyncio.wait([waiting])
                if not waiting.cancelled():
                    await broker.release(waiting.result())
            seen: list[str] = []
            async with asyncio.timeout(PATIENCE):
                while len(seen) < 20:
                    seen.extend(names(await broker.reserve(["q"], 100, 0.1)))
            assert sorted(seen, key=int) == [str(n) for n in range(20)]

    @in_loop
    async def test_waiting_blocks_nothing_else(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1, "other")])
            deliveries = await take(broker, 1, "other")
            waiting = asyncio.create_task(broker.reserve(["q"], 1, PATIENCE))
            await asyncio.sleep(0.02)
            assert await finish(broker, deliveries) == []
            assert await broker.renew()
            assert not waiting.done()
            broker.publish([Publication(message("end"), "q")])
            assert names(await waiting) == ["end"]
