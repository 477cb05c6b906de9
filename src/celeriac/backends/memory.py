"""The memory backend: results in a named store of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES
from celeriac.storage.memory import MemoryStore, memory_store, wake_all


class MemoryBackend:
    """Results in memory.

    Args:
        name: of the store; the broker of the same name shares it.
        clock: for expiry.
    """

    def __init__(self, name: str = "", *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._name = name
        self._clock = clock
        self.address = f"memory://{name}"

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

    async def sweep(self) -> int:
        """See `Backend.sweep`."""
        memory = self.memory
        with memory.lock:
            return memory.sweep_results(self._clock.time())

    def disconnect(self) -> None:
        """See `Backend.disconnect`; there is nothing to close."""

    def _load_ready(self, task_id: str) -> ResultRecord | None:
        record = self.load(task_id)
        return record if record is not None and record.status in READY_STATES else None
