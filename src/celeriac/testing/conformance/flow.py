"""What settlements mean for workflows is written in the same step as all else of them, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from celeriac.brokers.base import Broker
from celeriac.chords import ChordEnd, ChordState, ClaimedChord
from celeriac.exceptions import CeleriacError
from celeriac.message import Delivery, Publication
from celeriac.outcome import Acknowledge, Action, Bury, Flow, Keep, Requeue, Settlement
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.chord_words import (
    CLAIM,
    claim,
    end_of,
    growth,
    ids,
    present,
    results,
    share,
    shares,
    start,
)
from celeriac.testing.conformance.conditions import joins_chords, leases_end_by_time
from celeriac.testing.conformance.follow_ups import UNFIT
from celeriac.testing.conformance.support import (
    LEASE,
    Harness,
    MakeBackend,
    MakeBroker,
    failure,
    finish,
    in_loop,
    is_stored,
    job,
    names,
    opened,
    success,
    take,
    take_all,
)


async def one(broker: Broker, name: object = 1) -> Delivery:
    """One message, published and taken."""
    broker.publish([job(name)])
    (delivery,) = await take(broker, 1)
    return delivery


async def claimed_chord(broker: Broker, group_id: str = "g") -> ClaimedChord:
    """A complete chord of two, claimed."""
    chords = present(broker.chords)
    chords.start_chords([start(2, group_id)])
    await chords.add_shares(shares(2, group_id))
    (chord,) = await claim(chords)
    return chord


async def join(broker: Broker, name: object, *ends: ChordEnd) -> Settlement:
    """The settlement that sends a body, without a lease: what is settled is gone from the store."""
    delivery = await one(broker, name)
    assert await finish(broker, [delivery]) == []
    return Settlement(delivery, Keep(), None, (job(f"body {name}", "next"),), fenced=False, flow=Flow(ends=ends))


def state_of(broker: Broker, group_id: str = "g") -> ChordState:
    """How far a chord is."""
    return present(broker.chords).chord_state(group_id)


@joins_chords
class StartCases(Harness):
    """Chords begin with the messages of their headers."""

    @in_loop
    async def test_a_chord_begins_in_the_step_that_publishes_its_header(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("m0"), job("m1")], [start(2), start(5, "other")])
            await broker.apublish([job("m2")], [start(1, "third")])
            await broker.apublish([], [start(4, "fourth")])
            assert [state_of(broker, name).size for name in ("g", "other", "third", "fourth")] == [2, 5, 1, 4]
            assert names(await take_all(broker)) == ["m0", "m1", "m2"]

    @in_loop
    async def test_what_can_not_be_published_begins_nothing(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            unfit = Publication(UNFIT.message, "q")
            with pytest.raises(CeleriacError):
                broker.publish([job("m0"), unfit], [start(2)])
            assert state_of(broker).size is None
            assert await take(broker) == []

    @in_loop
    async def test_a_settlement_publishes_a_header_and_begins_its_chord(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            header = (job("m0", "next"), job("m1", "next"))
            flow = Flow(starts=(start(2),), shares=(share("outer", 0, "upper"),))
            assert await broker.settle([Settlement(await one(broker), Acknowledge(), None, header, flow=flow)]) == []
            assert state_of(broker).size == 2
            assert results(state_of(broker, "upper")) == ["OUTER"]
            assert names(await take_all(broker, "next")) == ["m0", "m1"]

    @in_loop
    async def test_what_is_refused_begins_and_adds_nothing(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([], [start(2, "known")])
            delivery = await one(broker)
            assert await finish(broker, [delivery]) == []
            flow = Flow(starts=(start(2),), grown=(growth("x", group_id="known"),))
            late = Settlement(delivery, Acknowledge(), None, (job("m0", "next"),), flow=flow)
            assert await broker.settle([late]) == [late]
            assert (state_of(broker).size, state_of(broker, "known").size) == (None, 2)
            assert await take(broker, 10, "next") == []


@joins_chords
class SettledShareCases(Harness):
    """Shares travel with the settlement."""

    @in_loop
    async def test_share_result_and_acknowledgement_are_one_step(
        self, make_broker: MakeBroker, make_backend: MakeBackend
    ) -> None:
        backend = make_backend()
        async with opened(make_broker()) as broker:
            broker.publish([job(f"m{n}") for n in range(3)], [start(3)])
            held = await take_all(broker)
            batch = [
                Settlement(delivery, Acknowledge(), success(name), flow=Flow(shares=(share(name, n),)))
                for n, delivery in enumerate(held)
                for name in names([delivery])
            ]
            assert await broker.settle(batch[:2]) == []
            assert await claim(present(broker.chords)) == []
            assert await broker.settle(batch[2:]) == []
            assert results(state_of(broker)) == ["M0", "M1", "M2"]
            assert all(backend.load(f"m{n}") is not None for n in range(3))
            assert await broker.depth("q") == 0
            assert ids(await claim(present(broker.chords))) == ["g"]

    @leases_end_by_time
    @pytest.mark.parametrize("action", [Acknowledge(), Requeue(), Bury("late"), Keep()], ids=lambda a: type(a).__name__)
    def test_the_old_owner_gives_no_share(
        self, make_broker: MakeBroker, make_backend: MakeBackend, clock: VirtualClock, action: Action
    ) -> None:
        @in_loop
        async def run() -> None:
            backend = make_backend()
            async with opened(make_broker(), "old") as old, opened(make_broker(), "new", 1000) as new:
                old.publish([], [start(1)])
                held = await one(old)
                clock.advance(LEASE)
                (taken,) = await new.recover(10)
                flow = Flow(results=(failure("step"),), shares=(share("m0", 0),), grown=(growth("x"),))
                late = Settlement(held, action, flow=flow)
                assert await old.settle([late]) == [late]
                assert state_of(new) == ChordState("g", 1)
                assert backend.load("step") is None
                good = Settlement(taken, Acknowledge(), flow=Flow(shares=(share("m0", 0),)))
                assert await new.settle([good]) == []
                assert ids(await claim(present(new.chords))) == ["g"]

        run()

    @in_loop
    async def test_whatever_becomes_of_the_message_its_share_is_given(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(5)], [start(5)])
            held = await take_all(broker)
            assert await finish(broker, held[4:]) == []
            actions: list[tuple[Action, bool]] = [
                (Acknowledge(), True),
                (Bury("rejected"), True),
                (Keep(), True),
                (Requeue(), True),
                (Keep(), False),
            ]
            batch = [
                Settlement(delivery, action, fenced=fenced, flow=Flow(shares=(share(f"m{n}", n),)))
                for n, (delivery, (action, fenced)) in enumerate(zip(held, actions, strict=True))
            ]
            assert await broker.settle(batch) == []
            assert results(state_of(broker)) == ["M0", "M1", "M2", "M3", "M4"]
            assert ids(await claim(present(broker.chords))) == ["g"]

    @in_loop
    async def test_a_refused_share_does_not_harm_the_others_of_its_batch(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(3)], [start(3)])
            held = await take_all(broker)
            assert await finish(broker, [held[1]]) == []
            batch = [
                Settlement(delivery, Acknowledge(), flow=Flow(shares=(share(f"m{n}", n),)))
                for n, delivery in enumerate(held)
            ]
            assert await broker.settle(batch) == [batch[1]]
            assert results(state_of(broker)) == ["M0", "M2"]

    @in_loop
    async def test_results_of_steps_that_never_run_are_stored(
        self, make_broker: MakeBroker, make_backend: MakeBackend
    ) -> None:
        backend = make_backend()
        backend.store([success("done", "kept")])
        async with opened(make_broker()) as broker:
            flow = Flow(results=(failure("next"), failure("last", ttl=60.0), failure("done")))
            settlement = Settlement(await one(broker), Acknowledge(), failure("1", "first"), flow=flow)
            waiting = asyncio.create_task(backend.await_ready("next", 20))
            assert await broker.settle([settlement]) == []
            assert backend.load("1") == failure("1", "first")
            assert await waiting == failure("next")
            assert is_stored(backend.load("last"), failure("last", ttl=60.0), self.ttl_tolerance)
            assert backend.load("done") == success("done", "kept"), "a success is final for these, too"

    @in_loop
    async def test_a_member_that_adds_another_publishes_it_in_the_same_step(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("m0")], [start(1)])
            (held,) = await take(broker)
            flow = Flow(grown=(growth("x"),), shares=(share("m0", 0),))
            assert await broker.settle([Settlement(held, Acknowledge(), None, (job("x"),), flow=flow)]) == []
            assert await claim(present(broker.chords)) == []
            (added,) = await take(broker)
            assert await broker.settle([Settlement(added, Acknowledge(), flow=Flow(shares=(share("x"),)))]) == []
            assert results(state_of(broker)) == ["M0", "X"]
            assert ids(await claim(present(broker.chords))) == ["g"]

    @in_loop
    async def test_one_settlement_that_can_not_be_written_gives_no_share(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job("m0")], [start(1)])
            (held,) = await take(broker)
            flow = Flow(starts=(start(7, "inner"),), shares=(share("m0", 0),))
            with pytest.raises(CeleriacError):
                await broker.settle([Settlement(held, Acknowledge(), follow_ups=(UNFIT,), flow=flow)])
            assert (state_of(broker), state_of(broker, "inner").size) == (ChordState("g", 1), None)
            assert await broker.settle([Settlement(held, Acknowledge(), flow=flow)]) == []
            assert results(state_of(broker)) == ["M0"]

    @in_loop
    async def test_two_workers_that_give_the_last_shares_at_once_make_one_claim(self, make_broker: MakeBroker) -> None:
        async def finish_and_claim(broker: Broker, delivery: Delivery, index: int, group_id: str) -> list[ClaimedChord]:
            flow = Flow(shares=(share(f"m{index}", index, group_id),))
            assert await broker.settle([Settlement(delivery, Acknowledge(), flow=flow)]) == []
            return await claim(present(broker.chords))

        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            for n in range(20):
                group_id = f"g{n}"
                first.publish([job("m0"), job("m1")], [start(2, group_id)])
                (one_held,), (other_held,) = await take(first, 1), await take(second, 1)
                claimed = await asyncio.gather(
                    finish_and_claim(first, one_held, 0, group_id), finish_and_claim(second, other_held, 1, group_id)
                )
                assert ids([chord for some in claimed for chord in some]) == [group_id]
                assert results(state_of(first, group_id)) == ["M0", "M1"]

    @in_loop
    async def test_thousands_of_shares_in_one_batch(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(n) for n in range(2000)], [start(2000)])
            held = await take_all(broker)
            given = shares(2000)
            batch = [
                Settlement(delivery, Acknowledge(), flow=Flow(shares=(one_share,)))
                for delivery, one_share in zip(held, reversed(given), strict=True)
            ]
            assert await broker.settle(batch) == []
            assert state_of(broker).parts == tuple(one_share.part for one_share in given)
            assert ids(await claim(present(broker.chords))) == ["g"]


@joins_chords
class EndCases(Harness):
    """Bodies are sent once, by whoever holds the claim."""

    @in_loop
    async def test_the_body_is_published_and_the_chord_forgotten_in_one_step(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            chord = await claimed_chord(broker)
            assert await broker.settle([await join(broker, 1, end_of(chord))]) == []
            assert names(await take(broker, 10, "next")) == ["body 1"]
            assert state_of(broker) == ChordState("g", None)
            await present(broker.chords).add_shares([share("late")])
            assert await claim(present(broker.chords)) == []

    @in_loop
    async def test_a_body_can_be_the_last_member_of_an_outer_chord(
        self, make_broker: MakeBroker, make_backend: MakeBackend
    ) -> None:
        """A body that failed before it was sent: its result, and its share of the chord around it."""
        backend = make_backend()
        async with opened(make_broker()) as broker:
            broker.publish([], [start(1, "outer")])
            chord = await claimed_chord(broker, "inner")
            settlement = await join(broker, 1)
            flow = Flow((failure("body"),), shares=(share("body", 0, "outer"),), ends=(end_of(chord),))
            again = Settlement(settlement.delivery, Keep(), fenced=False, flow=flow)
            assert await broker.settle([again]) == []
            assert backend.load("body") == failure("body")
            assert ids(await claim(present(broker.chords))) == ["outer"]

    @in_loop
    async def test_an_old_claim_writes_nothing(
        self, make_broker: MakeBroker, make_backend: MakeBackend, clock: VirtualClock
    ) -> None:
        backend = make_backend()
        async with opened(make_broker(), "a", 1000) as first, opened(make_broker(), "b", 1000) as second:
            first.publish([], [start(2, "outer")])
            old = await claimed_chord(first)
            late = await join(first, "late", end_of(old))
            clock.advance(CLAIM)
            (new,) = await claim(present(second.chords))
            flow = Flow(
                (failure("step"),),
                (start(1, "inner"),),
                (growth("x", group_id="outer"),),
                (share("s", 0, "outer"),),
                (end_of(old),),
            )
            late = Settlement(late.delivery, Keep(), failure("1"), late.follow_ups, fenced=False, flow=flow)
            assert await first.settle([late]) == [late]
            assert results(state_of(first)) == ["M0", "M1"]
            assert (state_of(first, "inner").size, state_of(first, "outer")) == (None, ChordState("outer", 2))
            assert backend.load("1") is backend.load("step") is None
            assert await take(first, 10, "next") == []
            assert await second.settle([await join(second, "new", end_of(new))]) == []
            assert names(await take(second, 10, "next")) == ["body new"]
            assert await first.settle([late]) == [late]

    @in_loop
    async def test_one_claim_sends_one_body(self, make_broker: MakeBroker) -> None:
        """Also when both settlements come in one batch, and whatever else is in it."""
        async with opened(make_broker()) as broker:
            chord, other = await claimed_chord(broker), await claimed_chord(broker, "other")
            broker.publish([], [start(1, "third")])
            batch = [
                await join(broker, "first", end_of(chord)),
                Settlement(await one(broker), Acknowledge(), flow=Flow(shares=(share("m0", 0, "third"),))),
                await join(broker, "second", end_of(chord)),
                await join(broker, "third", end_of(other)),
                await join(broker, "fourth", ChordEnd("third", chord.claim)),
            ]
            assert await broker.settle(batch) == [batch[2], batch[4]]
            assert names(await take(broker, 10, "next")) == ["body first", "body third"]
            assert ids(await claim(present(broker.chords))) == ["third"]

    @in_loop
    async def test_claims_that_are_settled_together_stand_or_fall_together(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            chord = await claimed_chord(broker)
            both = await join(broker, 1, end_of(chord), ChordEnd("other", "no claim"))
            assert await broker.settle([both]) == [both]
            assert results(state_of(broker)) == ["M0", "M1"]
            assert await take(broker, 10, "next") == []

    @in_loop
    async def test_a_lease_and_a_claim_must_both_hold(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            chord = await claimed_chord(broker)
            held = await one(broker)
            wrong = Settlement(held, Acknowledge(), None, (job("b", "next"),), flow=Flow(ends=(ChordEnd("g", "no"),)))
            assert await broker.settle([wrong]) == [wrong]
            stale = await one(broker, 2)
            assert await finish(broker, [stale]) == []
            late = Settlement(stale, Acknowledge(), None, (job("b", "next"),), flow=Flow(ends=(end_of(chord),)))
            assert await broker.settle([late]) == [late]
            assert results(state_of(broker)) == ["M0", "M1"]
            assert await take(broker, 10, "next") == []
            good = Settlement(held, Acknowledge(), None, (job("b", "next"),), flow=Flow(ends=(end_of(chord),)))
            assert await broker.settle([good]) == []
            assert names(await take(broker, 10, "next")) == ["b"]
            assert state_of(broker) == ChordState("g", None)
