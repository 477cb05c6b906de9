"""What chords cost on a SQLite file: few statements for a batch, none where there are no chords, bounded sweeps."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from celeriac.backends.base import ChordStore
from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.batches import SETTLED_BYTES, split
from celeriac.brokers.sqlite import SQLiteBroker, settling
from celeriac.brokers.sqlite.leasing import Lease, take_lease
from celeriac.brokers.sqlite.reserving import take
from celeriac.chords import ChordEnd, ChordShare, ChordStart
from celeriac.message import Delivery, Message, PackedMessage, Publication
from celeriac.outcome import Acknowledge, Flow, Keep, ResultRecord, Settlement
from celeriac.storage.sqlite.database import Transaction
from celeriac.testing import VirtualClock


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "queue.sqlite3")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def broker(path: str, clock: VirtualClock) -> Iterator[SQLiteBroker]:
    made = SQLiteBroker(path, clock=clock, busy_timeout=0.2)
    yield made
    made.disconnect()


@pytest.fixture
def backend(path: str, clock: VirtualClock) -> Iterator[SQLiteBackend]:
    made = SQLiteBackend(path, clock=clock)
    yield made
    made.disconnect()


def chords_of(one: SQLiteBroker | SQLiteBackend) -> ChordStore:
    assert one.chords is not None
    return one.chords


def share(n: int, group_id: str = "g", ttl: float | None = None, part: bytes = b"part") -> ChordShare:
    return ChordShare(group_id, f"m{n}", n, part, b"body", None, "q", ttl)


def statements_of(broker: SQLiteBroker, flow_of: Callable[[int], Flow | None]) -> list[str]:
    """What a batch of 500 settlements with results sends to SQLite."""
    broker.publish([Publication(Message({"id": str(n)}, {}, b""), "q") for n in range(500)], [ChordStart("g", 1000)])
    sent: list[str] = []

    def work(transaction: Transaction) -> list[Settlement]:
        lease: Lease = take_lease(transaction, "w", 10)
        held = take(transaction, lease, ["q"], 500)
        batch = [
            Settlement(delivery, Acknowledge(), ResultRecord(str(n), "SUCCESS", b"meta"), flow=flow_of(n))
            for n, delivery in enumerate(held)
        ]
        transaction.connection.set_trace_callback(sent.append)
        try:
            return settling.settle(transaction, lease, batch)
        finally:
            transaction.connection.set_trace_callback(None)

    assert broker.database.write(work) == []
    return sent


def test_a_batch_without_chords_sends_nothing_about_them(broker: SQLiteBroker) -> None:
    sent = statements_of(broker, lambda n: None)
    assert not [sql for sql in sent if "chord" in sql]
    assert len(sent) < 20


def test_shares_cost_few_statements(broker: SQLiteBroker) -> None:
    sent = statements_of(broker, lambda n: Flow(shares=(share(n),)))
    about = [sql for sql in sent if "chord" in sql]
    assert len([sql for sql in about if "INSERT OR IGNORE INTO chord_share" in sql]) < 10
    assert len(about) < 15
    assert chords_of(broker).chord_state("g").size == 1000
    assert len(chords_of(broker).chord_state("g").parts) == 500


def test_looking_for_complete_chords_needs_no_lock(broker: SQLiteBroker, path: str) -> None:
    chords = chords_of(broker)
    chords.start_chords([ChordStart("g", 1)])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert asyncio.run(chords.claim_chords(["q"], 10, 30)) == []
        other.execute("ROLLBACK")


def test_a_large_chord_is_swept_in_bounded_steps(
    broker: SQLiteBroker, backend: SQLiteBackend, clock: VirtualClock, path: str
) -> None:
    chords = chords_of(broker)

    async def run() -> None:
        chords.start_chords([ChordStart("g", 2500, 60), ChordStart("kept", 1)])
        await chords.add_shares([share(n, ttl=60) for n in range(2500)])
        clock.advance(60)
        swept = [await backend.sweep()]
        chords.start_chords([ChordStart("g", 1, 60)])  # another one of the same name
        await chords.add_shares([share(0, ttl=60, part=b"new")])
        while count := await backend.sweep():
            swept.append(count)
        assert len(swept) >= 3
        assert max(swept) <= 1001
        assert chords.chord_state("g").parts == (b"new",)
        assert chords.chord_state("kept").size == 1
        assert [chord.group_id for chord in await chords.claim_chords(["q"], 10, 30)] == ["g"]

    asyncio.run(run())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM chord_share").fetchone() == (1,)


def test_a_half_swept_chord_does_not_come_back_when_the_clock_is_set_back(
    broker: SQLiteBroker, backend: SQLiteBackend, clock: VirtualClock
) -> None:
    chords = chords_of(broker)

    async def run() -> None:
        chords.start_chords([ChordStart("g", 1500, 60)])
        await chords.add_shares([share(n, ttl=60) for n in range(1500)])
        clock.advance(60)
        assert await backend.sweep()
        clock.jump(-30)
        assert chords.chord_state("g").size is None
        assert await chords.claim_chords(["q"], 10, 30) == []

    asyncio.run(run())


def test_where_nobody_sweeps_new_chords_make_room(broker: SQLiteBroker, clock: VirtualClock, path: str) -> None:
    async def run() -> None:
        chords = chords_of(broker)
        for n in range(50):
            chords.start_chords([ChordStart(f"g{n}-{k}", 1) for k in range(30)])
            await chords.add_shares([share(0, f"g{n}-{k}") for k in range(30)])
            claimed = await chords.claim_chords(["q"], 30, 30)
            assert await chords.end_chords([ChordEnd(chord.group_id, chord.claim) for chord in claimed]) == []
            clock.advance(600)

    asyncio.run(run())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM chord").fetchone()[0] <= 8 * 30


def test_an_ended_chord_leaves_one_row_which_is_swept(
    broker: SQLiteBroker, backend: SQLiteBackend, clock: VirtualClock, path: str
) -> None:
    chords = chords_of(broker)

    async def run() -> None:
        chords.start_chords([ChordStart("g", 1)])
        await chords.add_shares([share(0)])
        (claimed,) = await chords.claim_chords(["q"], 10, 30)
        assert await chords.end_chords([ChordEnd("g", claimed.claim)]) == []
        assert rows() == [1, 0, 0]
        assert await backend.sweep() == 0
        clock.advance(3600)
        assert await backend.sweep() == 1
        assert rows() == [0, 0, 0]

    def rows() -> list[int]:
        with closing(sqlite3.connect(path)) as connection:
            tables = ("chord", "chord_share", "chord_join")
            return [connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in tables]

    asyncio.run(run())


def test_what_shares_write_counts_for_the_size_of_a_transaction() -> None:
    nowhere = Delivery(0, 0, PackedMessage(b"[{}, {}]", b"", "", ""), "q")
    half = b"x" * (SETTLED_BYTES // 2 + 1)
    settlements = [
        Settlement(nowhere, Keep(), fenced=False, flow=flow)
        for flow in (
            Flow(shares=(share(1, part=half),)),
            Flow(results=(ResultRecord("step", "FAILURE", half),)),
            Flow(starts=(ChordStart("g", 1),)),
        )
    ]
    assert [len(part) for part in split(settlements)] == [1, 2]
