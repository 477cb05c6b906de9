"""The contract of a chord store for members that are added while the header runs: they count by name, once."""

from __future__ import annotations

import pytest

from celeriac.chords import ChordShare, ChordState
from celeriac.testing.conformance.chord_words import BODY, MakeChords, claim, end_of, growth, ids, results, share, start
from celeriac.testing.conformance.support import Harness, in_loop


class GrowthCases(Harness):
    """Members add members."""

    @in_loop
    async def test_a_member_that_is_added_again_counts_once(self, make_chords: MakeChords) -> None:
        """A run that was lost after it was counted runs again."""
        chords = make_chords()
        chords.start_chords([start(1)])
        for _ in range(3):
            await chords.add_shares([share("a", 0)], [growth("x", "y", "x", cause="a")])
        assert chords.chord_state("g").size == 3
        await chords.add_shares([share("x"), share("y")])
        await chords.add_shares([share("a", 0)], [growth("x", "y", cause="a")])
        assert results(chords.chord_state("g")) == ["A", "X", "Y"]
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    async def test_several_may_add_members(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(1)])
        await chords.add_shares(
            [], [growth("x", cause="one"), growth("x", "y", cause="two"), growth("z", cause="three")]
        )
        assert chords.chord_state("g").size == 4
        await chords.add_shares([], [growth(cause="one"), growth("y", "x", cause="two"), growth(cause="nobody")])
        assert chords.chord_state("g").size == 4
        await chords.add_shares([], [growth("y", cause="two")])
        assert chords.chord_state("g").size == 3
        await chords.add_shares([share(name) for name in "xyz"])
        assert results(chords.chord_state("g")) == ["Y", "Z"]

    @in_loop
    async def test_a_member_that_is_not_added_again_is_withdrawn(self, make_chords: MakeChords) -> None:
        """A run that was lost had added it; what counts is the run that came after it."""
        chords = make_chords()
        chords.start_chords([start(1)])
        await chords.add_shares([share("a", 0)], [growth("x", "y", cause="a")])
        await chords.add_shares([share("a", 0)], [growth("z", cause="a")])
        assert chords.chord_state("g").size == 2
        await chords.add_shares([share("x"), share("z")])
        assert results(chords.chord_state("g")) == ["A", "Z"]
        (claimed,) = await claim(chords)
        assert (claimed.task_id, claimed.body) == ("z", BODY)

    @in_loop
    async def test_a_member_that_has_come_is_not_withdrawn(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(1)])
        await chords.add_shares([], [growth("x", cause="a")])
        await chords.add_shares([share("x")])
        assert await claim(chords) == []
        await chords.add_shares([share("a", 0)], [growth(cause="a")])
        assert results(chords.chord_state("g")) == ["A", "X"]
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    @pytest.mark.parametrize("said", [[], [share("a", 0)]], ids=["by nobody", "by its adder"])
    async def test_a_chord_may_be_complete_when_a_member_is_withdrawn(
        self, make_chords: MakeChords, said: list[ChordShare]
    ) -> None:
        chords = make_chords()
        chords.start_chords([start(2)])
        await chords.add_shares([share("a", 0)], [growth("x", cause="a")])
        await chords.add_shares([share("b", 1)])
        assert await claim(chords) == []
        await chords.add_shares(said, [growth(cause="a")])
        (claimed,) = await claim(make_chords())
        assert (claimed.task_id, claimed.body, claimed.queue) == ("b", BODY, "q")
        await chords.add_shares([share("x")])
        assert results(chords.chord_state("g")) == ["A", "B"]
        assert await chords.end_chords([end_of(claimed)]) == []

    @in_loop
    async def test_a_member_that_was_withdrawn_can_be_added_again(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(1)])
        for members in (("x",), (), ("x",)):
            await chords.add_shares([], [growth(*members, cause="a")])
        await chords.add_shares([share("a", 0)])
        assert await claim(chords) == []
        await chords.add_shares([share("x")])
        assert results(chords.chord_state("g")) == ["A", "X"]
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    async def test_who_adds_nothing_begins_nothing(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        await chords.add_shares([], [growth(cause="a")])
        assert chords.chord_state("g") == ChordState("g", None)
        assert chords.open_chords(10) == []

    @in_loop
    @pytest.mark.parametrize("last", [["z"], []], ids=["adds another", "adds nothing"])
    @pytest.mark.parametrize("first", ["told before", "not told before"])
    async def test_what_an_older_run_tells_late_says_nothing(
        self, make_chords: MakeChords, last: list[str], first: str
    ) -> None:
        """Its worker was cut off for longer than its lease, and the task has run on another one since."""
        chords = make_chords()
        chords.start_chords([start(1)])
        if first == "told before":
            await chords.add_shares([], [growth("x", cause="a")])
        await chords.add_shares([share("a", 0)], [growth(*last, cause="a", losses=1)])
        for _ in range(2):
            await make_chords().add_shares([share("a", 0)], [growth("x", "y", cause="a")])
        await chords.add_shares([], [growth(cause="a")])
        assert chords.chord_state("g").size == 1 + len(last)
        await chords.add_shares([share(name) for name in ("x", "y", *last)])
        assert results(chords.chord_state("g")) == ["A", *(name.upper() for name in last)]
        assert ids(await claim(chords)) == ["g"]

    @in_loop
    async def test_the_last_run_of_a_cause_is_that_of_its_last_retry(self, make_chords: MakeChords) -> None:
        chords = make_chords()
        chords.start_chords([start(1), start(1, "other")])
        await chords.add_shares([], [growth("x", cause="a", losses=9), growth("x", cause="b")])
        await chords.add_shares([], [growth("y", cause="a", retries=1), growth("v", "w", group_id="other", cause="a")])
        await chords.add_shares([], [growth("z", cause="a", losses=10)])
        assert (chords.chord_state("g").size, chords.chord_state("other").size) == (3, 3)
        await chords.add_shares([share(name) for name in "xyz"])
        assert results(chords.chord_state("g")) == ["X", "Y"]

    @in_loop
    async def test_a_member_that_an_older_run_tells_late_may_have_been_added_by_another(
        self, make_chords: MakeChords
    ) -> None:
        chords = make_chords()
        chords.start_chords([start(1)])
        await chords.add_shares([share("a", 0)], [growth("x", cause="b"), growth(cause="a", losses=1)])
        await chords.add_shares([], [growth("x", "y", cause="a")])
        await chords.add_shares([], [growth("y", cause="c")])
        await chords.add_shares([share("x"), share("y")])
        assert results(chords.chord_state("g")) == ["A", "X", "Y"]
        assert ids(await claim(chords)) == ["g"]
