"""The contract of a chord store: shares, completeness, claims and ends."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from celeriac.backends.base import ChordStore
from celeriac.chords import ChordEnd, ChordState, ClaimedChord
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.broken_chords import BrokenChordCases, OpenChordCases
from celeriac.testing.conformance.chord_words import (
    BODY,
    CLAIM,
    MakeChords,
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
from celeriac.testing.conformance.growing_chords import GrowthCases
from celeriac.testing.conformance.support import Harness, MakeBackend, MakeBroker, in_loop


class ShareCases(Harness):
    """Members give their shares."""

    @in_loop
    async def test_parts_are_in_the_order_of_the_header_however_they_come(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(12)])
        given = shares(12)
        for n in (7, 0, 11, 3):
            await chords.add_shares([given[n]])
        assert results(chords.chord_state("g")) == ["M0", "M3", "M7", "M11"]
        await chords.add_shares([given[n] for n in (10, 2, 1, 9, 8, 4, 6, 5)])
        state = make_chords().chord_state("g")
        assert state == ChordState("g", 12, tuple(one.part for one in given))
        assert results(state)[9:] == ["M9", "M10", "M11"], "places are numbers, not texts"

    @in_loop
    async def test_starting_and_looking_for_asyncio(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await chords.astart_chords([start(2), start(3, "\u00fc'; --")])
        await chords.astart_chords([])
        await chords.add_shares([])
        await chords.add_shares([share("a", 0, "\u00fc'; --")])
        assert await chords.achord_state("g") == ChordState("g", 2)
        assert results(await chords.achord_state("\u00fc'; --")) == ["A"]
        assert await chords.achord_state("unknown") == ChordState("unknown", None)

    @in_loop
    async def test_a_member_that_gives_its_share_twice_counts_once(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(3)])
        await chords.add_shares([share("a", 0), share("a", 0)])
        await chords.add_shares([share("a", 0)])
        await chords.add_shares([share("b", 1), share("a", 0), share("b", 1)])
        assert results(chords.chord_state("g")) == ["A", "B"]
        assert await claim(chords) == []
        await chords.add_shares([share("c", 2)])
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    async def test_the_first_share_of_a_member_is_the_one_that_stays(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(2)])
        first = share("a", 0)
        await chords.add_shares([first])
        await chords.add_shares([msgspec.structs.replace(first, part=b'[1, "a", "FAILURE", null]')])
        assert chords.chord_state("g").parts == (first.part,)

    @in_loop
    async def test_one_task_at_two_places_counts_twice(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(3)])
        await chords.add_shares([share("a", 0), share("a", 2), share("b", 1)])
        assert results(chords.chord_state("g")) == ["A", "B", "A"]
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    async def test_shares_that_come_before_the_start_are_kept(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await chords.add_shares(shares(2))
        assert results(chords.chord_state("g")) == ["M0", "M1"]
        assert chords.chord_state("g").size is None
        assert await claim(chords) == []
        chords.start_chords([start(3)])
        assert await claim(chords) == []
        await chords.add_shares([share("m2", 2)])
        (claimed,) = await claim(chords)
        assert (claimed.task_id, claimed.body, claimed.queue) == ("m2", BODY, "q")

    @in_loop
    async def test_a_start_that_comes_last_finds_the_chord_complete(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await chords.add_shares(shares(2))
        await chords.astart_chords([start(2)])
        (claimed,) = await claim(make_chords())
        assert (claimed.body, claimed.root_id, claimed.queue) == (BODY, "root", "q")

    @in_loop
    async def test_a_start_that_is_given_again_keeps_the_shares(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(2)])
        await chords.add_shares([share("a", 0)])
        chords.start_chords([start(2)])
        assert results(chords.chord_state("g")) == ["A"]
        await chords.add_shares([share("b", 1)])
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    async def test_a_chord_waits_for_members_that_were_added_and_puts_them_last(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(2)])
        await chords.add_shares([share("b", 1)], [growth("x", cause="b")])
        await chords.add_shares([share("y")], [growth("y", cause="a")])
        assert chords.chord_state("g").size == 4
        await chords.add_shares([share("a", 0)])
        assert await claim(chords) == []
        await chords.add_shares([share("x")])
        assert results(chords.chord_state("g")) == ["A", "B", "X", "Y"]
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    async def test_a_member_is_added_before_the_share_of_the_same_call_is_counted(
        self, make_chords: MakeChords
    ) -> None:
        chords = make_chords()
        chords.start_chords([start(1)])
        await chords.add_shares([share("a", 0)], [growth("x")])
        assert await claim(chords) == []
        await chords.add_shares([share("x")])
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    async def test_thousands_of_shares_in_one_call(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(2000), start(300, "other")])
        given = shares(2000)
        mixed = [one for n in range(300) for one in (given[n], share(f"o{n}", n, "other"))]
        await chords.add_shares([*mixed, *given[250:]])
        assert chords.chord_state("g").parts == tuple(one.part for one in given)
        assert ids(await claim(chords)) == ["g", "other"]

    @in_loop
    async def test_large_bodies_and_parts(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(2)])
        body, part = b"\x00\xff" * 300_000, b'[1, "a", "SUCCESS", "' + b"x" * 1_000_000 + b'"]'
        large = msgspec.structs.replace(share("a", 0, body=body), part=part)
        await chords.add_shares([large, share("b", 1, body=body)])
        assert chords.chord_state("g").parts[0] == part
        assert [one.body for one in await claim(chords)] == [body]


class ClaimCases(Harness):
    """Workers claim complete chords, and end them."""

    async def complete(self, chords: ChordStore, *group_ids: str, queue: str = "q") -> None:
        """Begin these chords and complete them, each with two members."""
        await chords.astart_chords([start(2, group_id) for group_id in group_ids])
        for n in range(2):
            await chords.add_shares([share(f"m{n}", n, group_id, queue=queue) for group_id in group_ids])

    @in_loop
    async def test_who_claims_learns_what_completed_it(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(2)])
        await chords.add_shares([share("a", 1, root_id="r", queue="first", priority=3)])
        await chords.add_shares([share("b", 0, root_id=None, queue="last", body=b"{}", priority=7)])
        assert await claim(chords, "first") == []
        (claimed,) = await claim(chords, "first", "last")
        assert claimed == ClaimedChord("g", claimed.claim, 1, b"{}", "b", None, "last", None, 7)
        assert 0 < len(claimed.claim) <= 40

    @in_loop
    async def test_chords_are_claimed_by_queue_and_up_to_a_limit(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await self.complete(chords, "a", "b", "c", queue="one")
        await self.complete(chords, "d", queue="two")
        assert await claim(chords, limit=0) == []
        assert await chords.claim_chords([], 10, CLAIM) == []
        assert await claim(chords, "three") == []
        first = await claim(chords, "one", limit=2)
        assert len(first) == 2
        rest = await claim(chords, "two", "one", "two", "three")
        assert ids([*first, *rest]) == ["a", "b", "c", "d"]
        assert len({chord.claim for chord in (*first, *rest)}) == 4

    @in_loop
    async def test_a_claimed_chord_is_not_given_to_another(self, make_chords: MakeChords, clock: VirtualClock) -> None:
        chords = make_chords()
        await self.complete(chords, "g")
        assert not chords.chord_state("g").is_claimed
        assert ids(await claim(chords)) == ["g"]
        clock.advance(CLAIM - 1)
        assert await claim(make_chords()) == []
        assert chords.chord_state("g").is_claimed
        assert results(chords.chord_state("g")) == ["M0", "M1"]

    @in_loop
    async def test_a_claim_that_runs_out_is_given_anew(self, make_chords: MakeChords, clock: VirtualClock) -> None:
        chords = make_chords()
        await self.complete(chords, "g")
        (first,) = await claim(chords)
        clock.advance(CLAIM)
        assert not chords.chord_state("g").is_claimed
        (second,) = await claim(make_chords())
        assert (first.claims, second.claims) == (1, 2)
        assert first.claim != second.claim
        assert await chords.end_chords([end_of(first)]) == [end_of(first)]
        assert results(chords.chord_state("g")) == ["M0", "M1"]
        assert chords.chord_state("g").is_claimed
        assert await chords.end_chords([end_of(second)]) == []

    @in_loop
    async def test_a_claim_that_nobody_has_replaced_still_ends_the_chord(
        self, make_chords: MakeChords, clock: VirtualClock
    ) -> None:
        chords = make_chords()
        await self.complete(chords, "g")
        (claimed,) = await claim(chords)
        clock.advance(2 * CLAIM)
        assert await chords.end_chords([end_of(claimed)]) == []
        assert await claim(chords) == []

    @in_loop
    async def test_a_claim_that_is_renewed_lasts_from_then(self, make_chords: MakeChords, clock: VirtualClock) -> None:
        chords = make_chords()
        await self.complete(chords, "g", "other")
        claimed = await claim(chords)
        (end,) = [end_of(chord) for chord in claimed if chord.group_id == "g"]
        clock.advance(CLAIM - 1)
        assert await chords.renew_claims([end], CLAIM) == []
        clock.advance(CLAIM - 1)
        assert ids(await claim(make_chords())) == ["other"]
        assert chords.chord_state("g").is_claimed
        clock.advance(1)
        assert ids(await claim(make_chords())) == ["g"]
        assert await chords.renew_claims([], CLAIM) == []

    @in_loop
    async def test_a_claim_that_has_run_out_is_renewed_unless_there_is_another(
        self, make_chords: MakeChords, clock: VirtualClock
    ) -> None:
        chords = make_chords()
        await self.complete(chords, "g", "over")
        first = {chord.group_id: end_of(chord) for chord in await claim(chords)}
        assert await chords.end_chords([first["over"]]) == []
        clock.advance(CLAIM)
        assert await chords.renew_claims([first["over"], first["g"]], CLAIM) == [first["over"]]
        assert await claim(make_chords()) == []
        clock.advance(CLAIM)
        (second,) = await claim(make_chords())
        unknown = ChordEnd("unknown", second.claim)
        assert await chords.renew_claims([unknown, end_of(second), first["g"]], CLAIM) == [unknown, first["g"]]
        assert await chords.end_chords([end_of(second)]) == []
        assert await chords.renew_claims([end_of(second)], CLAIM) == [end_of(second)]

    @in_loop
    async def test_who_claims_at_once_shares_the_chords(self, make_chords: MakeChords) -> None:
        await self.complete(make_chords(), *(f"g{n}" for n in range(40)))
        crowd = [make_chords() for _ in range(6)]
        claimed = await asyncio.gather(*(claim(chords, limit=9) for chords in crowd))
        got = [chord.group_id for one in claimed for chord in one]
        assert sorted(got) == sorted(f"g{n}" for n in range(40))

    @in_loop
    async def test_an_ended_chord_is_forgotten_and_late_shares_are_dropped(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await self.complete(chords, "g", "other")
        ends = [end_of(chord) for chord in await claim(chords) if chord.group_id == "g"]
        assert await chords.end_chords(ends) == []
        assert chords.chord_state("g") == ChordState("g", None)
        await chords.add_shares([share("m0", 0), share("late")], [growth("late")])
        assert chords.chord_state("g") == ChordState("g", None)
        assert await claim(chords) == []
        assert await chords.end_chords(ends) == ends
        assert results(chords.chord_state("other")) == ["M0", "M1"]

    @in_loop
    async def test_a_chord_that_is_begun_after_its_end_is_a_new_run(self, make_chords: MakeChords) -> None:
        """Whoever sends a frozen chord again uses its id again, as in Celery."""
        chords = make_chords()
        await self.complete(chords, "g")
        (first,) = await claim(chords)
        assert await chords.end_chords([end_of(first)]) == []
        chords.start_chords([start(2)])
        assert chords.chord_state("g") == ChordState("g", 2)
        await chords.add_shares(shares(2))
        (second,) = await claim(chords)
        assert (second.claims, await chords.end_chords([end_of(first), end_of(second)])) == (1, [end_of(first)])

    @in_loop
    async def test_only_its_claim_ends_a_chord(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await self.complete(chords, "a", "b", "unclaimed")
        claimed = {chord.group_id: chord for chord in await claim(chords, limit=3)}
        wrong = [ChordEnd("a", claimed["b"].claim), ChordEnd("b", ""), ChordEnd("nobody", claimed["a"].claim)]
        assert await chords.end_chords([*wrong, end_of(claimed["unclaimed"])]) == wrong
        assert await chords.end_chords([]) == []
        assert results(chords.chord_state("a")) == results(chords.chord_state("b")) == ["M0", "M1"]

    @in_loop
    async def test_chords_are_kept_for_their_time_which_each_share_begins_anew(
        self, make_chords: MakeChords, clock: VirtualClock
    ) -> None:
        chords = make_chords()
        chords.start_chords([start(3, ttl=60), start(2, "kept")])
        clock.advance(50)
        await chords.add_shares([share("m0", 0, ttl=60)])
        clock.advance(50)
        await chords.add_shares([share("m1", 1, ttl=60)])
        clock.advance(50)
        assert results(chords.chord_state("g")) == ["M0", "M1"]
        clock.advance(11)
        assert chords.chord_state("g") == ChordState("g", None)
        await chords.add_shares([share("m2", 2, ttl=60)])
        assert await claim(chords) == []
        assert chords.chord_state("kept").size == 2

    @in_loop
    async def test_a_complete_chord_whose_time_is_over_is_not_claimed(
        self, make_chords: MakeChords, clock: VirtualClock
    ) -> None:
        chords = make_chords()
        chords.start_chords([start(1, ttl=600), start(1, "claimed", ttl=600)])
        await chords.add_shares([share("m0", 0, "claimed", ttl=600)])
        (claimed,) = await claim(chords)
        await chords.add_shares([share("m0", 0, ttl=600)])
        clock.advance(601)
        assert await claim(chords) == []
        assert await chords.end_chords([end_of(claimed)]) == [end_of(claimed)]

    @in_loop
    async def test_a_claim_of_a_chord_whose_time_is_over_is_not_renewed(
        self, make_chords: MakeChords, clock: VirtualClock
    ) -> None:
        """The claim outlasts what is known of the chord."""
        chords = make_chords()
        chords.start_chords([start(1, ttl=CLAIM / 2)])
        await chords.add_shares([share("m0", 0, ttl=CLAIM / 2)])
        (claimed,) = await claim(chords)
        clock.advance(CLAIM - 1)
        for _ in range(2):
            assert await chords.renew_claims([end_of(claimed)], CLAIM) == [end_of(claimed)]
        clock.advance(1)
        assert await claim(chords) == []
        assert chords.chord_state("g") == ChordState("g", None)
        assert chords.open_chords(10) == []


class BackendChordCases(ShareCases, GrowthCases, ClaimCases, BrokenChordCases, OpenChordCases):
    """The chord store of a backend."""

    @pytest.fixture
    def make_chords(self, make_backend: MakeBackend) -> MakeChords:
        if make_backend().chords is None:
            pytest.skip("this backend joins no chords")
        return lambda: present(make_backend().chords)


class BrokerChordCases(ShareCases, GrowthCases, ClaimCases, BrokenChordCases, OpenChordCases):
    """The chord store of a broker."""

    @pytest.fixture
    def make_chords(self, make_broker: MakeBroker) -> MakeChords:
        if make_broker().chords is None:
            pytest.skip("this broker joins no chords")
        return lambda: present(make_broker().chords)
