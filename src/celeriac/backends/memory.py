"""The memory backend: results, groups and chords in a named store of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from celeriac.backends.base import ChordStore
from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES
from celeriac.storage.memory import MemoryStore, SavedGroup, memory_store, wake_all


class MemoryChordStore:
    """Chords in memory.

    Args:
        name: of the store; broker and backend of the same name share it.
        clock: for expiry and claims.
    """

    def __init__(self, name: str = "", *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._name = name
        self._clock = clock

    def start_chords(self, starts: Sequence[ChordStart]) -> None:
        """See `ChordStore.start_chords`."""
        memory = self._memory()
        with memory.lock:
            memory.chords.change(self._clock.time(), starts)

    async def astart_chords(self, starts: Sequence[ChordStart]) -> None:
        """See `ChordStore.astart_chords`."""
        self.start_chords(starts)

    async def add_shares(self, shares: Sequence[ChordShare], grown: Sequence[ChordGrowth] = ()) -> None:
        """See `ChordStore.add_shares`."""
        memory = self._memory()
        with memory.lock:
            memory.chords.change(self._clock.time(), (), grown, shares)

    async def claim_chords(self, queues: Sequence[str], limit: int, seconds: float) -> list[ClaimedChord]:
        """See `ChordStore.claim_chords`."""
        memory, clock = self._memory(), self._clock
        with memory.lock:
            return memory.chords.claim(queues, limit, seconds, clock.time(), clock.monotonic())

    async def renew_claims(self, ends: Sequence[ChordEnd], seconds: float) -> list[ChordEnd]:
        """See `ChordStore.renew_claims`."""
        memory, clock = self._memory(), self._clock
        with memory.lock:
            return [end for end in ends if not memory.chords.renew(end, seconds, clock.time(), clock.monotonic())]

    async def end_chords(self, ends: Sequence[ChordEnd]) -> list[ChordEnd]:
        """See `ChordStore.end_chords`."""
        memory, now = self._memory(), self._clock.time()
        refused: list[ChordEnd] = []
        with memory.lock:
            for end in ends:
                if memory.chords.is_current(end, now):
                    memory.chords.end([end], now)
                else:
                    refused.append(end)
        return refused

    def chord_state(self, group_id: str) -> ChordState:
        """See `ChordStore.chord_state`."""
        memory, clock = self._memory(), self._clock
        with memory.lock:
            return memory.chords.state(group_id, clock.time(), clock.monotonic())

    async def achord_state(self, group_id: str) -> ChordState:
        """See `ChordStore.achord_state`."""
        return self.chord_state(group_id)

    def break_chord(self, group_id: str, reason: str, queue: str) -> bool:
        """See `ChordStore.break_chord`."""
        memory = self._memory()
        with memory.lock:
            return memory.chords.break_chord(group_id, reason, queue, self._clock.time())

    async def abreak_chord(self, group_id: str, reason: str, queue: str) -> bool:
        """See `ChordStore.abreak_chord`."""
        return self.break_chord(group_id, reason, queue)

    def open_chords(self, limit: int) -> list[ChordState]:
        """See `ChordStore.open_chords`."""
        memory, clock = self._memory(), self._clock
        with memory.lock:
            return memory.chords.all_open(limit, clock.time(), clock.monotonic())

    def _memory(self) -> MemoryStore:
        memory = memory_store(self._name)
        memory.check_process()
        return memory


class MemoryBackend:
    """Results, groups and chords in memory.

    Args:
        name: of the store; the broker of the same name shares it.
        clock: for expiry.
    """

    def __init__(self, name: str = "", *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._name = name
        self._clock = clock
        self.address = f"memory://{name}"
        self.chords: ChordStore | None = MemoryChordStore(name, clock=clock)

    @property
    def memory(self) -> MemoryStore:
        """The store."""
        return memory_store(self._name)

    def store(self, records: Sequence[ResultRecord]) -> None:
        """See `Backend.store`."""
        memory = self.memory
        memory.check_process()
        with memory.lock:
            wakers = memory.put_results(records, self._clock.time())
        wake_all(wakers)

    async def astore(self, records: Sequence[ResultRecord]) -> None:
        """See `Backend.astore`."""
        self.store(records)

    def load(self, task_id: str) -> ResultRecord | None:
        """See `Backend.load`."""
        memory = self.memory
        memory.check_process()
        with memory.lock:
            return memory.get_result(task_id, self._clock.time())

    async def aload(self, task_id: str) -> ResultRecord | None:
        """See `Backend.aload`."""
        return self.load(task_id)

    def load_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """See `Backend.load_many`."""
        memory, now = self.memory, self._clock.time()
        memory.check_process()
        with memory.lock:
            found = [memory.get_result(task_id, now) for task_id in dict.fromkeys(task_ids)]
        return [record for record in found if record is not None]

    async def aload_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """See `Backend.aload_many`."""
        return self.load_many(task_ids)

    def wait_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """See `Backend.wait_ready`."""
        memory, woken = self.memory, threading.Event()
        memory.add_result_waiter(task_id, woken.set)
        try:
            record = self._load_ready(task_id)
            if record is None and timeout > 0 and woken.wait(timeout):
                record = self._load_ready(task_id)
            return record
        finally:
            memory.remove_result_waiter(task_id, woken.set)

    async def await_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """See `Backend.await_ready`."""
        memory, loop, woken = self.memory, asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        memory.add_result_waiter(task_id, wake)
        try:
            record = self._load_ready(task_id)
            if record is None:
                async with asyncio.timeout(timeout):
                    await woken.wait()
                record = self._load_ready(task_id)
        except TimeoutError:
            return None
        else:
            return record
        finally:
            memory.remove_result_waiter(task_id, wake)

    def forget(self, task_id: str) -> None:
        """See `Backend.forget`."""
        memory = self.memory
        memory.check_process()
        with memory.lock:
            memory.results.pop(task_id, None)

    async def aforget(self, task_id: str) -> None:
        """See `Backend.aforget`."""
        self.forget(task_id)

    def forget_many(self, task_ids: Sequence[str]) -> None:
        """See `Backend.forget_many`."""
        memory = self.memory
        memory.check_process()
        with memory.lock:
            for task_id in task_ids:
                memory.results.pop(task_id, None)

    async def aforget_many(self, task_ids: Sequence[str]) -> None:
        """See `Backend.aforget_many`."""
        self.forget_many(task_ids)

    def save_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:
        """See `Backend.save_group`."""
        memory = self.memory
        memory.check_process()
        with memory.lock:
            memory.groups[group_id] = SavedGroup(meta, None if ttl is None else self._clock.time() + ttl)

    async def asave_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:
        """See `Backend.asave_group`."""
        self.save_group(group_id, meta, ttl)

    def load_group(self, group_id: str) -> bytes | None:
        """See `Backend.load_group`."""
        memory = self.memory
        memory.check_process()
        with memory.lock:
            saved = memory.groups.get(group_id)
            if saved is None or (saved.expires is not None and saved.expires <= self._clock.time()):
                return None
            return saved.meta

    async def aload_group(self, group_id: str) -> bytes | None:
        """See `Backend.aload_group`."""
        return self.load_group(group_id)

    def forget_group(self, group_id: str) -> None:
        """See `Backend.forget_group`."""
        memory = self.memory
        memory.check_process()
        with memory.lock:
            memory.groups.pop(group_id, None)

    async def aforget_group(self, group_id: str) -> None:
        """See `Backend.aforget_group`."""
        self.forget_group(group_id)

    async def sweep(self) -> int:
        """See `Backend.sweep`."""
        memory = self.memory
        with memory.lock:
            return memory.sweep(self._clock.time())

    def disconnect(self) -> None:
        """See `Backend.disconnect`; there is nothing to close."""

    def _load_ready(self, task_id: str) -> ResultRecord | None:
        record = self.load(task_id)
        return record if record is not None and record.status in READY_STATES else None
