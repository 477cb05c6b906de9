"""The contract of a chord store for chords that wait for members which will not come: they are found, and broken."""

from __future__ import annotations

import msgspec

from celeriac.chords import ChordEnd, ChordStart, ChordState, ClaimedChord
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.chord_words import (
    BODY,
    CLAIM,
    MakeChords,
    claim,
    end_of,
    growth,
    ids,
    results,
    share,
    start,
)
from celeriac.testing.conformance.support import Harness, in_loop

_WHY = "ended by h\u00e4nd"


def told(size: int, group_id: str = "g", ttl: float | None = None) -> ChordStart:
    """A chord begins, and its body is told."""
    return ChordStart(group_id, size, ttl, BODY, "root", "first")


class BrokenChordCases(Harness):
    """Chords are broken."""

    @in_loop
    async def test_a_broken_chord_is_claimed_by_the_queue_that_was_named(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([told(2), told(1, "other")])
        await chords.add_shares([share("a", 0)])
        assert make_chords().break_chord("g", _WHY, "named")
        assert await claim(chords, "q", "first") == []
        (claimed,) = await claim(chords, "named")
        assert claimed == ClaimedChord("g", claimed.claim, 1, BODY, "", "root", "named", _WHY)
        state = chords.chord_state("g")
        assert (state.reason, state.queue, state.is_claimed, results(state)) == (_WHY, "named", True, ["A"])
        assert await chords.end_chords([end_of(claimed)]) == []
        assert chords.chord_state("g") == ChordState("g", None)
        await chords.add_shares([share("b", 1)])
        assert await claim(chords, "q", "first", "named") == []

    @in_loop
    async def test_a_chord_without_any_share_is_broken(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await chords.astart_chords([told(2)])
        assert await chords.abreak_chord("g", _WHY, "q")
        assert not chords.chord_state("g").is_claimed
        (claimed,) = await claim(chords)
        assert (claimed.reason, claimed.body, claimed.task_id) == (_WHY, BODY, "")

    @in_loop
    async def test_members_that_come_later_change_nothing(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([told(2)])
        assert chords.break_chord("g", _WHY, "named")
        await chords.add_shares([share("a", 0), share("b", 1, body=b"{}")])
        await chords.add_shares([share("c")], [growth("c")])
        chords.start_chords([told(2)])
        assert await claim(chords, "q", "first") == []
        (claimed,) = await claim(chords, "named")
        assert (claimed.reason, claimed.body) == (_WHY, BODY)
        await chords.add_shares([share("d")])
        assert await claim(chords, "q", "first", "named") == []
        assert await chords.end_chords([end_of(claimed)]) == []

    @in_loop
    async def test_a_claim_of_a_broken_chord_runs_out(self, make_chords: MakeChords, clock: VirtualClock) -> None:
        chords = make_chords()
        chords.start_chords([told(2)])
        assert chords.break_chord("g", _WHY, "q")
        (first,) = await claim(chords)
        assert await claim(chords) == []
        clock.advance(CLAIM)
        (second,) = await claim(chords)
        assert (second.claims, second.reason) == (2, _WHY)
        assert await chords.end_chords([end_of(first)]) == [end_of(first)]
        clock.advance(2 * CLAIM)
        assert await chords.end_chords([end_of(second)]) == []

    @in_loop
    async def test_who_named_a_queue_that_nobody_takes_from_names_another(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([told(2)])
        assert chords.break_chord("g", "first", "nobody's")
        assert chords.break_chord("g", "second", "q")
        assert await claim(chords, "nobody's") == []
        (claimed,) = await claim(chords)
        assert (claimed.reason, claimed.queue) == ("second", "q")
        assert await chords.end_chords([end_of(claimed)]) == []
        assert await claim(chords, "nobody's", "q") == []

    @in_loop
    async def test_what_is_not_to_be_broken(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([told(1, "complete"), told(1, "over"), start(2, "no body")])
        await chords.add_shares([share("a", 0, "complete"), share("a", 0, "over", queue="over")])
        await chords.add_shares([share("a", 0, "no body")])
        (claimed,) = await claim(chords, "over")
        assert await chords.end_chords([end_of(claimed)]) == []
        for group_id in ("complete", "over", "no body", "unknown"):
            assert not chords.break_chord(group_id, _WHY, "q"), group_id
        assert [(one.group_id, one.reason) for one in await claim(chords)] == [("complete", None)]

    @in_loop
    async def test_a_chord_that_has_grown_since_it_was_complete_is_broken(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(1)])
        await chords.add_shares([share("a", 0)])
        await chords.add_shares([], [growth("x")])
        assert await claim(chords) == []
        assert chords.break_chord("g", _WHY, "q")
        (claimed,) = await claim(chords)
        assert (claimed.task_id, claimed.body, claimed.reason) == ("a", BODY, _WHY)

    @in_loop
    async def test_shares_of_a_chord_that_never_began_tell_its_body(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await chords.add_shares([share("a", 0)])
        assert chords.break_chord("g", _WHY, "q")
        (claimed,) = await claim(chords)
        assert (claimed.body, claimed.reason) == (BODY, _WHY)
        assert await chords.end_chords([end_of(claimed)]) == []

    @in_loop
    async def test_a_new_run_of_a_broken_chord_is_not_broken(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([told(1)])
        assert chords.break_chord("g", _WHY, "q")
        (claimed,) = await claim(chords)
        assert await chords.end_chords([end_of(claimed)]) == []
        chords.start_chords([told(1)])
        assert chords.chord_state("g").reason is None
        await chords.add_shares([share("a", 0)])
        (claimed,) = await claim(chords)
        assert (claimed.reason, claimed.claims) == (None, 1)

    @in_loop
    async def test_only_its_claim_ends_a_broken_chord(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([told(2)])
        assert chords.break_chord("g", _WHY, "q")
        for wrong in ("", "broken", "x"):
            end = ChordEnd("g", wrong)
            assert await chords.end_chords([end]) == [end], wrong


class OpenChordCases(Harness):
    """Chords that are not over are found."""

    @in_loop
    async def test_open_chords_are_told_with_their_numbers(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        assert chords.open_chords(10) == []
        for n in range(3):
            chords.start_chords([told(2 + n, f"g{n}")])
        await chords.add_shares([share("a", 0, "g1"), share("b", 1, "g1")])
        await chords.add_shares([], [growth("x", group_id="g1")])
        found = make_chords().open_chords(10)
        assert [(one.group_id, one.size, one.done, one.parts) for one in found] == [
            ("g2", 4, 0, ()),
            ("g1", 4, 2, ()),
            ("g0", 2, 0, ()),
        ]
        assert {(one.queue, one.body, one.is_claimed, one.reason) for one in found} == {("first", BODY, False, None)}
        assert [one.group_id for one in chords.open_chords(2)] == ["g2", "g1"]
        began = [one.began for one in found]
        assert None not in began
        assert began == [chords.chord_state(one.group_id).began for one in found]

    @in_loop
    async def test_what_is_over_is_not_among_them(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([told(1, "over"), told(1, "complete"), told(1, "open"), told(1, "broken")])
        await chords.add_shares([share("a", 0, "over", queue="over"), share("a", 0, "complete")])
        assert chords.break_chord("broken", _WHY, "q")
        ended = await claim(chords, "over")
        assert await chords.end_chords([end_of(chord) for chord in ended]) == []
        assert ids(await claim(chords)) == ["broken", "complete"]
        found = {one.group_id: one for one in chords.open_chords(10)}
        assert found.keys() == {"complete", "open", "broken"}
        assert [name for name, one in found.items() if one.is_claimed] == [n for n in found if n != "open"]
        assert (found["broken"].reason, found["broken"].is_complete) == (_WHY, False)
        assert (found["complete"].queue, found["complete"].is_complete) == ("q", True)

    @in_loop
    async def test_chords_whose_time_is_over_are_not_among_them(
        self, make_chords: MakeChords, clock: VirtualClock
    ) -> None:
        chords = make_chords()
        chords.start_chords([told(2, "short", 60.0), told(2, "renewed", 60.0), told(2, "kept")])
        clock.advance(40)
        await chords.add_shares([share("a", 0, "renewed", ttl=60.0)])
        clock.advance(40)
        assert {one.group_id for one in chords.open_chords(10)} == {"renewed", "kept"}
        assert not chords.break_chord("short", _WHY, "q")
        assert chords.break_chord("renewed", _WHY, "q")
        assert ids(await claim(chords)) == ["renewed"]

    @in_loop
    async def test_a_body_that_is_told_again_is_the_same_chord(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([told(2)])
        before = chords.chord_state("g")
        chords.start_chords([told(2), msgspec.structs.replace(told(2), queue="second")])
        assert chords.chord_state("g") == before
        assert [one.group_id for one in chords.open_chords(10)] == ["g"]
