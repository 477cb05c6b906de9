"""Chords on one SQLite file, for the broker and for the backend. Sync methods work in the caller's thread."""

from __future__ import annotations

from collections.abc import Sequence

from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord
from celeriac.storage.runner import ThreadRunner
from celeriac.storage.sqlite import chords
from celeriac.storage.sqlite.database import Database


class SQLiteChordStore:
    """A `ChordStore` on one SQLite file.

    Args:
        database: the file.
        runner: the thread for the async methods.
    """

    def __init__(self, database: Database, runner: ThreadRunner) -> None:
        self._database = database
        self._runner = runner

    def start_chords(self, starts: Sequence[ChordStart]) -> None:
        """See `ChordStore.start_chords`."""
        if starts:
            self._database.write(lambda transaction: chords.change_chords(transaction, starts))

    async def astart_chords(self, starts: Sequence[ChordStart]) -> None:
        """See `ChordStore.astart_chords`."""
        await self._runner.run(lambda: self.start_chords(starts))

    async def add_shares(self, shares: Sequence[ChordShare], grown: Sequence[ChordGrowth] = ()) -> None:
        """See `ChordStore.add_shares`."""
        if shares or grown:
            database = self._database
            await self._runner.run(lambda: database.write(lambda tx: chords.change_chords(tx, (), grown, shares)))

    async def claim_chords(self, queues: Sequence[str], limit: int, seconds: float) -> list[ClaimedChord]:
        """See `ChordStore.claim_chords`. Looks first, without the lock: nearly always there is nothing."""

        def work() -> list[ClaimedChord]:
            clock = self._database.clock
            if not self._database.read(lambda c: chords.any_to_claim(c, queues, clock.time(), clock.monotonic())):
                return []
            return self._database.write(lambda tx: chords.claim_chords(tx, queues, limit, seconds))

        return await self._runner.run(work) if limit > 0 else []

    async def renew_claims(self, ends: Sequence[ChordEnd], seconds: float) -> list[ChordEnd]:
        """See `ChordStore.renew_claims`."""
        if not ends:
            return []
        database = self._database
        return await self._runner.run(lambda: database.write(lambda tx: chords.renew_claims(tx, ends, seconds)))

    async def end_chords(self, ends: Sequence[ChordEnd]) -> list[ChordEnd]:
        """See `ChordStore.end_chords`."""
        if not ends:
            return []
        return await self._runner.run(lambda: self._database.write(lambda tx: chords.end_chords(tx, ends)))

    def chord_state(self, group_id: str) -> ChordState:
        """See `ChordStore.chord_state`."""
        clock = self._database.clock
        return self._database.read(lambda c: chords.chord_state(c, group_id, clock.time(), clock.monotonic()))

    async def achord_state(self, group_id: str) -> ChordState:
        """See `ChordStore.achord_state`."""
        return await self._runner.run(lambda: self.chord_state(group_id))

    def break_chord(self, group_id: str, reason: str, queue: str) -> bool:
        """See `ChordStore.break_chord`."""
        return self._database.write(lambda tx: chords.break_chord(tx, group_id, reason, queue))

    async def abreak_chord(self, group_id: str, reason: str, queue: str) -> bool:
        """See `ChordStore.abreak_chord`."""
        return await self._runner.run(lambda: self.break_chord(group_id, reason, queue))

    def open_chords(self, limit: int) -> list[ChordState]:
        """See `ChordStore.open_chords`."""
        clock = self._database.clock
        return self._database.read(lambda c: chords.open_chords(c, limit, clock.time(), clock.monotonic()))
