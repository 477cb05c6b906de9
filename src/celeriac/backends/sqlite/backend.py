"""The SQLite result backend's face: `Backend`, in its order.

Sync methods work in the caller's thread, async ones in one thread of the backend's. Thousands of coroutines that wait
share one socket for each event loop (`ResultHub`).
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Sequence
from typing import Final

from celeriac.backends.base import ChordStore
from celeriac.backends.sqlite.chords import SQLiteChordStore
from celeriac.backends.sqlite.hub import ResultHub
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES
from celeriac.storage.runner import ThreadRunner
from celeriac.storage.sqlite import groups, results
from celeriac.storage.sqlite.bell import Listener, ListenerPool
from celeriac.storage.sqlite.chords import sweep_chords
from celeriac.storage.sqlite.database import Database, Transaction

#: Seconds after which a waiter looks for itself, should a ring have been lost.
_LOOK_INTERVAL: Final = 0.1
#: The same where it can not be rung at all.
_BLIND_INTERVAL: Final = 0.02


class SQLiteBackend:
    """Results in one SQLite file.

    Args:
        path: of the file; a relative one is made absolute here. Or the `Database` of a broker, to share it.
        clock: for expiry.
        busy_timeout: seconds to wait for another process's transaction before `OperationalError`.
    """

    def __init__(self, path: str | Database, *, clock: Clock = SYSTEM_CLOCK, busy_timeout: float = 5.0) -> None:
        if isinstance(path, Database):
            self.database = path
        else:
            self.database = Database(path, clock=clock, busy_timeout=busy_timeout)
        self.address = f"sqlite:///{self.database.path}"
        self._clock = self.database.clock
        self._runner = ThreadRunner("celeriac-sqlite-results")
        self.chords: ChordStore | None = SQLiteChordStore(self.database, self._runner)
        self._listeners = ListenerPool()
        self._hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ResultHub] = weakref.WeakKeyDictionary()

    def store(self, records: Sequence[ResultRecord]) -> None:
        """See `Backend.store`."""
        if records:
            self.database.write(lambda transaction: results.store_results(transaction, records))

    async def astore(self, records: Sequence[ResultRecord]) -> None:
        """See `Backend.astore`."""
        await self._runner.run(lambda: self.store(records))

    def load(self, task_id: str) -> ResultRecord | None:
        """See `Backend.load`."""
        return self.database.read(lambda c: results.load_result(c, task_id, self._clock.time()))

    async def aload(self, task_id: str) -> ResultRecord | None:
        """See `Backend.aload`."""
        return await self._runner.run(lambda: self.load(task_id))

    def load_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """See `Backend.load_many`."""
        wanted = list(dict.fromkeys(task_ids))
        return self.database.read(lambda c: results.load_results(c, wanted, self._clock.time()))

    async def aload_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """See `Backend.aload_many`."""
        return await self._runner.run(lambda: self.load_many(task_ids))

    def wait_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """See `Backend.wait_ready`."""
        deadline = time.monotonic() + timeout
        record = self._load_ready(task_id)
        if record is not None or timeout <= 0:
            return record
        listener = self._listeners.borrow()
        if listener is None:
            return self._poll_ready(task_id, deadline)
        try:
            return self._listen(task_id, deadline, listener)
        finally:
            self._listeners.give_back(listener)

    async def await_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """See `Backend.await_ready`."""
        if timeout <= 0:
            return await self._runner.run(lambda: self._load_ready(task_id))
        loop = asyncio.get_running_loop()
        hub = self._hubs.get(loop)
        if hub is None:
            hub = self._hubs[loop] = ResultHub(self.database, self._runner, self._listeners)
        return await hub.wait(task_id, timeout)

    def forget(self, task_id: str) -> None:
        """See `Backend.forget`."""
        self.database.write(lambda transaction: results.forget_result(transaction, task_id))

    async def aforget(self, task_id: str) -> None:
        """See `Backend.aforget`."""
        await self._runner.run(lambda: self.forget(task_id))

    def forget_many(self, task_ids: Sequence[str]) -> None:
        """See `Backend.forget_many`."""
        if task_ids:
            self.database.write(lambda transaction: results.forget_results(transaction, task_ids))

    async def aforget_many(self, task_ids: Sequence[str]) -> None:
        """See `Backend.aforget_many`."""
        await self._runner.run(lambda: self.forget_many(task_ids))

    def save_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:
        """See `Backend.save_group`."""
        self.database.write(lambda transaction: groups.save_group(transaction, group_id, meta, ttl))

    async def asave_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:
        """See `Backend.asave_group`."""
        await self._runner.run(lambda: self.save_group(group_id, meta, ttl))

    def load_group(self, group_id: str) -> bytes | None:
        """See `Backend.load_group`."""
        return self.database.read(lambda c: groups.load_group(c, group_id, self._clock.time()))

    async def aload_group(self, group_id: str) -> bytes | None:
        """See `Backend.aload_group`."""
        return await self._runner.run(lambda: self.load_group(group_id))

    def forget_group(self, group_id: str) -> None:
        """See `Backend.forget_group`."""
        self.database.write(lambda transaction: groups.forget_group(transaction, group_id))

    async def aforget_group(self, group_id: str) -> None:
        """See `Backend.aforget_group`."""
        await self._runner.run(lambda: self.forget_group(group_id))

    async def sweep(self) -> int:
        """See `Backend.sweep`."""
        return await self._runner.run(lambda: self.database.write(_sweep))

    def disconnect(self) -> None:
        """See `Backend.disconnect`."""
        self._runner.stop()
        self._listeners.close()
        self.database.close()

    # -- waiting in a thread --------------------------------------------------------------------------------------

    def _load_ready(self, task_id: str) -> ResultRecord | None:
        record = self.load(task_id)
        return record if record is not None and record.status in READY_STATES else None

    def _listen(self, task_id: str, deadline: float, listener: Listener) -> ResultRecord | None:
        """Have the port rung by whoever stores the result."""
        seconds, port = deadline - time.monotonic(), listener.port
        found = self.database.write(lambda tx: results.load_or_arm(tx, [task_id], port, seconds))
        if found:
            return found[0]
        try:
            while (remaining := deadline - time.monotonic()) > 0:
                listener.wait(min(remaining, _LOOK_INTERVAL))
                record = self._load_ready(task_id)
                if record is not None:
                    return record  # whoever stored it has deleted the bell
        except BaseException:
            self._disarm(task_id, port)
            raise
        self._disarm(task_id, port)
        return self._load_ready(task_id)

    def _disarm(self, task_id: str, port: int) -> None:
        self.database.write(lambda tx: results.disarm_result_bells(tx, [task_id], port))

    def _poll_ready(self, task_id: str, deadline: float) -> ResultRecord | None:
        while True:
            record = self._load_ready(task_id)
            remaining = deadline - time.monotonic()
            if record is not None or remaining <= 0:
                return record
            time.sleep(min(remaining, _BLIND_INTERVAL))


def _sweep(transaction: Transaction) -> int:
    return results.sweep_results(transaction) + groups.sweep_groups(transaction) + sweep_chords(transaction)
