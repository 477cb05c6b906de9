"""The memory store says what chords do; whatever happens to them, the SQLite store gives the same answers."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.backends.base import Backend, ChordStore
from celeriac.backends.memory import MemoryBackend
from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.base import Broker
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord
from celeriac.message import Delivery, PackedMessage
from celeriac.outcome import Flow, Keep, Settlement
from celeriac.storage.memory_chords import MemoryChords
from celeriac.testing import VirtualClock

#: In memory where possible: hundreds of files would be synced to a disk.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
GROUPS = ["g", "h"]
QUEUES = ["q", "r"]
NOWHERE = Delivery(0, 0, PackedMessage(b"[{},{}]", b"", "", ""), "q")

_numbers = itertools.count()


class Change(msgspec.Struct, frozen=True):
    """What a settlement does; `ends` are numbers of claims that were given, the latest first."""

    starts: tuple[ChordStart, ...] = ()
    grown: tuple[ChordGrowth, ...] = ()
    shares: tuple[ChordShare, ...] = ()
    ends: tuple[int, ...] = ()
    settled: bool = True


class Claim(msgspec.Struct, frozen=True):
    """A worker of these queues asks what is complete."""

    queues: tuple[str, ...]
    limit: int


class Wait(msgspec.Struct, frozen=True):
    """Time passes, or is set back; or the machine starts anew."""

    seconds: float
    jump: float
    reboot: bool


class Break(msgspec.Struct, frozen=True):
    """A chord is ended by hand."""

    group_id: str
    reason: str
    queue: str


class Sweep(msgspec.Struct, frozen=True):
    """What is over is deleted."""


Step: TypeAlias = Change | Claim | Wait | Break | Sweep

ttls = st.sampled_from([None, 60.0, 20.0])
groups = st.sampled_from(GROUPS)
starts = st.builds(
    ChordStart,
    groups,
    st.sampled_from([1, 2, 3]),
    ttls,
    st.sampled_from([b"", b"body"]),
    st.sampled_from([None, "root"]),
    st.sampled_from(QUEUES),
)
shares = st.builds(
    lambda group_id, name, index, queue, body, ttl: ChordShare(
        group_id, name, index, f"{name} at {index}".encode(), body, None, queue, ttl
    ),
    groups,
    st.sampled_from("abc"),
    st.sampled_from([0, 1, 2, None]),
    st.sampled_from(QUEUES),
    st.sampled_from([b"body", b"other"]),
    ttls,
)
growths = st.builds(
    ChordGrowth,
    groups,
    st.sampled_from(["one", "two"]),
    st.lists(st.sampled_from("abc"), max_size=3).map(tuple),
    losses=st.sampled_from([0, 0, 1, 2]),
)
changes = st.builds(
    Change,
    st.lists(starts, max_size=1).map(tuple),
    st.lists(growths, max_size=2).map(tuple),
    st.lists(shares, min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(0, 2), max_size=1).map(tuple),
    st.booleans(),
)
claims = st.builds(Claim, st.sampled_from([("q", "r"), ("r", "q", "r"), ("q",), ()]), st.sampled_from([9, 1, 0]))
waits = st.builds(
    Wait,
    st.sampled_from([5.0, 30.0, 0.0, 4000.0]),
    st.sampled_from([0.0, 0.0, 50.0, -50.0]),
    st.sampled_from([False] * 4 + [True]),
)
KINDS: dict[str, st.SearchStrategy[Step]] = {
    "change": changes,
    "claim": claims,
    "wait": waits,
    "break": st.builds(Break, groups, st.sampled_from(["why", "again"]), st.sampled_from(QUEUES)),
    "sweep": st.just(Sweep()),
}
#: Mostly changes and claims: the rest is there to come in between.
steps = st.sampled_from(["change"] * 6 + ["claim"] * 4 + ["break"] * 2 + ["wait", "sweep"]).flatmap(
    lambda kind: KINDS[kind]
)


class Side:
    """One store, and the claims that it has given."""

    def __init__(self, broker: Broker, backend: Backend) -> None:
        assert broker.chords is not None
        self.broker = broker
        self.backend = backend
        self.chords: ChordStore = broker.chords
        self.claimed: list[ClaimedChord] = []

    async def take(self, step: Step) -> object:
        """Take the step; what it answers, in words that do not depend on the store."""
        match step:
            case Change():
                return await self._change(step)
            case Claim():
                claimed = await self.chords.claim_chords(step.queues, step.limit, 10.0)
                self.claimed.extend(claimed)
                return [msgspec.structs.replace(chord, claim="") for chord in claimed]
            case Break():
                return self.chords.break_chord(step.group_id, step.reason, step.queue)
            case Sweep():
                while await self.backend.sweep():
                    pass
                return None
            case Wait():
                return None

    async def _change(self, step: Change) -> object:
        claimed = [self.claimed[-1 - n] for n in step.ends if n < len(self.claimed)]
        ends = tuple(ChordEnd(chord.group_id, chord.claim) for chord in claimed)
        if step.settled:
            flow = Flow((), step.starts, step.grown, step.shares, ends)
            return len(await self.broker.settle([Settlement(NOWHERE, Keep(), fenced=False, flow=flow)]))
        await self.chords.astart_chords(step.starts)
        await self.chords.add_shares(step.shares, step.grown)
        return len(await self.chords.end_chords(ends))


def by_name(chords: ChordStore) -> dict[str, ChordState]:
    """Those that are open."""
    return {chord.group_id: chord for chord in chords.open_chords(9)}


async def follow(steps: Sequence[Step], path: str) -> None:
    """Take the steps on both stores; every answer and every chord must be the same."""
    clock, name = VirtualClock(), f"agreeing-{next(_numbers)}"
    memory = Side(MemoryBroker(name, clock=clock), MemoryBackend(name, clock=clock))
    sqlite = Side(SQLiteBroker(path, clock=clock), SQLiteBackend(path, clock=clock))
    sides = (memory, sqlite)
    try:
        for side in sides:
            await side.broker.open("worker", lease_seconds=10)
        for step in steps:
            if isinstance(step, Wait):
                clock.advance(step.seconds)
                clock.jump(step.jump)
                if step.reboot:
                    clock.reboot()
            assert await memory.take(step) == await sqlite.take(step), step
            for group_id in GROUPS:
                assert memory.chords.chord_state(group_id) == sqlite.chords.chord_state(group_id), step
            assert by_name(memory.chords) == by_name(sqlite.chords), step
        for side in sides:
            await side.broker.close()
    finally:
        for side in sides:
            side.broker.disconnect()
            side.backend.disconnect()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps, min_size=10, max_size=30))
def test_memory_and_sqlite_agree(steps: list[Step]) -> None:
    with TemporaryDirectory(dir=MEMORY) as directory:
        path = str(Path(directory) / "queue.sqlite3")
        asyncio.run(follow(steps, path))
        check_file(path)


def check_file(path: str) -> None:
    """What the file keeps twice agrees: shares are counted right, and whatever is complete can be joined."""
    with closing(sqlite3.connect(path)) as connection:
        counts = connection.execute(
            "SELECT shares, (SELECT COUNT(*) FROM chord_share WHERE chord = id) FROM chord WHERE group_id IS NOT NULL"
        ).fetchall()
        assert all(kept == counted for kept, counted in counts)
        grown = connection.execute(
            "SELECT grown, (SELECT COUNT(DISTINCT task_id) FROM chord_member WHERE chord = id AND counted) FROM chord "
            "WHERE group_id IS NOT NULL"
        ).fetchall()
        assert all(kept == counted for kept, counted in grown)
        joins = connection.execute(
            "SELECT j.reason IS NOT NULL OR size IS NOT NULL AND shares >= size + grown, j.complete "
            "FROM chord LEFT JOIN chord_join AS j "
            "ON j.chord = id WHERE group_id IS NOT NULL AND shares > 0"
        ).fetchall()
        assert all(bool(complete) == bool(joinable) for complete, joinable in joins)
        (orphans,) = connection.execute(
            "SELECT (SELECT COUNT(*) FROM chord_share WHERE chord NOT IN (SELECT id FROM chord)) "
            "+ (SELECT COUNT(*) FROM chord_join WHERE chord NOT IN (SELECT id FROM chord WHERE group_id IS NOT NULL))"
            "+ (SELECT COUNT(*) FROM chord_member WHERE chord NOT IN (SELECT id FROM chord))"
            "+ (SELECT COUNT(*) FROM chord_cause WHERE chord NOT IN (SELECT id FROM chord))"
        ).fetchone()
        assert orphans == 0


def test_where_nobody_sweeps_the_memory_store_new_chords_make_room() -> None:
    chords = MemoryChords()
    for n in range(5000):
        chords.change(float(n), [ChordStart(f"g{n}", 1, 10.0)])
    assert chords.sweep(1e6, 5000) <= 1100


class TestClaimsAndClocks:
    """Claims last by the monotonic clock, as leases do; what is kept expires by the wall clock."""

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture(params=["memory", "sqlite"])
    def chords(self, request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> Iterator[ChordStore]:
        backend: Backend
        if request.param == "memory":
            backend = MemoryBackend(f"clocks-{next(_numbers)}", clock=clock)
        else:
            backend = SQLiteBackend(str(tmp_path / "queue.sqlite3"), clock=clock)
        assert backend.chords is not None
        yield backend.chords
        backend.disconnect()

    async def complete(self, chords: ChordStore, ttl: float | None = None) -> None:
        chords.start_chords([ChordStart("g", 1, ttl)])
        await chords.add_shares([ChordShare("g", "a", 0, b"part", b"body", None, "q", ttl)])

    def test_a_wall_clock_that_jumps_ends_no_claim(self, chords: ChordStore, clock: VirtualClock) -> None:
        async def run() -> None:
            await self.complete(chords)
            assert len(await chords.claim_chords(["q"], 10, 30)) == 1
            for jump in (1e6, -2e6):
                clock.jump(jump)
                assert await chords.claim_chords(["q"], 10, 30) == []
                assert chords.chord_state("g").is_claimed

        asyncio.run(run())

    def test_after_a_reboot_every_claim_has_run_out(self, chords: ChordStore, clock: VirtualClock) -> None:
        async def run() -> None:
            await self.complete(chords)
            assert len(await chords.claim_chords(["q"], 10, 30)) == 1
            clock.reboot()
            assert not chords.chord_state("g").is_claimed
            assert [chord.claims for chord in await chords.claim_chords(["q"], 10, 30)] == [2]

        asyncio.run(run())

    def test_an_ended_chord_is_remembered_for_an_hour(self, chords: ChordStore, clock: VirtualClock) -> None:
        async def run() -> None:
            await self.complete(chords)
            (claimed,) = await chords.claim_chords(["q"], 10, 30)
            assert await chords.end_chords([ChordEnd("g", claimed.claim)]) == []
            late = ChordShare("g", "a", 0, b"part", b"body", None, "q")
            clock.advance(3599)
            await chords.add_shares([late])
            assert chords.chord_state("g").parts == ()
            clock.advance(1)
            await chords.add_shares([late])
            assert chords.chord_state("g").parts == (b"part",)

        asyncio.run(run())
