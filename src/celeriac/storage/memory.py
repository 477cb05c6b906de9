"""The store in this process's memory: the reference for the others, and what tests use.

Named stores are shared by all brokers and backends of the process. Thread-safe. Contents are kept encoded, as on a real
store, so that a message changed after its publication does not change what is stored.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import msgspec

from celeriac.clock import Clock
from celeriac.exceptions import NotSupported
from celeriac.message import Loss, PackedMessage, Publication
from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES, SUCCESS
from celeriac.storage.codec import priority_level
from celeriac.storage.forks import renew_in_children
from celeriac.storage.memory_chords import MemoryChords

SWEEP_BATCH: Final = 1000


class Stored(msgspec.Struct):
    """One stored message.

    Attributes:
        tag: its handle.
        queue: where it belongs.
        priority: its level.
        position: its place inside the level; smaller is taken first.
        packed: what was published.
        lease: the number of the lease it is held by, or None.
        token: of the present or last delivery.
    """

    tag: int
    queue: str
    priority: int
    position: int
    packed: PackedMessage
    history: tuple[Loss, ...] = ()
    due: float | None = None
    lease: int | None = None
    token: int = 0
    started: bool = False


class HeldLease(msgspec.Struct):
    """A worker's lease; `ends` is a reading of the monotonic clock."""

    number: int
    owner: str
    seconds: float
    ends: float


class Buried(msgspec.Struct):
    """A dead letter: the stored message, why and when."""

    stored: Stored
    reason: str
    at: float


class StoredResult(msgspec.Struct):
    """A result and the Unix time at which it expires."""

    record: ResultRecord
    expires: float | None


class SavedGroup(msgspec.Struct):
    """The members of a group, encoded, and the Unix time at which they expire."""

    meta: bytes
    expires: float | None


class MemoryStore:
    """Queues, leases, dead letters, results, groups and chords. Hold `lock` around everything but `wake_when`.

    Attributes:
        messages: all that are not dead, by tag; the heaps below hold tags of some of them.
        ready: by queue, a heap of (priority, position, tag).
        future: by queue, a heap of (due, position, tag).
        groups: saved ones, by their ids.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.messages: dict[int, Stored] = {}
        self.ready: dict[str, list[tuple[int, int, int]]] = {}
        self.future: dict[str, list[tuple[float, int, int]]] = {}
        self.leases: dict[int, HeldLease] = {}
        self.dead: dict[int, Buried] = {}
        self.results: dict[str, StoredResult] = {}
        self.groups: dict[str, SavedGroup] = {}
        self.chords = MemoryChords()
        self._numbers = itertools.count(1)
        self._pid = os.getpid()
        self._work_waiters: set[Callable[[], None]] = set()
        self._result_waiters: dict[str, set[Callable[[], None]]] = {}
        renew_in_children(self)

    def after_fork_in_child(self) -> None:
        """Nobody is left to let the lock go; `check_process` says what is wrong with this copy."""
        self.lock = threading.RLock()

    def draw(self) -> int:
        """A number that nobody has had before."""
        return next(self._numbers)

    def check_process(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            NotSupported: this is a copy of the store that nobody else will ever see.
        """
        if os.getpid() != self._pid:
            raise NotSupported(
                f"a memory:// store lives in the process that made it ({self._pid}), this is process {os.getpid()}; "
                "use sqlite:/// to reach it from several processes, or a pool without processes"
            )

    # -- messages -------------------------------------------------------------------------------------------------

    def prepare(self, publications: Iterable[Publication]) -> list[tuple[Stored, float | None]]:
        """Encode messages, each with its due time; nothing is stored yet.

        Raises:
            EncodeError: headers or properties that have no JSON form.
        """
        return [(self._encode(publication), publication.not_before) for publication in publications]

    def add(self, prepared: Iterable[tuple[Stored, float | None]], now: float) -> None:
        """Store what `prepare` made, in order."""
        for stored, due in prepared:
            stored.tag = stored.position = self.draw()
            self.messages[stored.tag] = stored
            self.place(stored, due, now)

    def _encode(self, publication: Publication) -> Stored:
        packed = PackedMessage.pack(publication.message)
        return Stored(0, publication.queue, priority_level(publication.priority), 0, packed)

    def place(self, stored: Stored, due: float | None, now: float) -> None:
        """Make it ready, or due later, at its position."""
        stored.lease, stored.started, stored.due = None, False, None
        if due is None or not due > now:
            entry = (stored.priority, stored.position, stored.tag)
            heapq.heappush(self.ready.setdefault(stored.queue, []), entry)
        else:
            stored.due = due
            heapq.heappush(self.future.setdefault(stored.queue, []), (due, stored.position, stored.tag))

    def promote(self, queue: str, now: float) -> float | None:
        """Make ready what is due, in due order. Returns when the next one will be."""
        heap = self.future.get(queue, [])
        while heap and heap[0][0] <= now:
            stored = self.messages[heapq.heappop(heap)[2]]
            stored.position = self.draw()
            self.place(stored, None, now)
        return heap[0][0] if heap else None

    def held_by(self, lease: int) -> list[Stored]:
        """What a lease holds, oldest first."""
        return [stored for stored in self.messages.values() if stored.lease == lease]

    def is_alive(self, lease: HeldLease, clock: Clock) -> bool:
        """The lease has not run out (docs/adr/0003)."""
        now = clock.monotonic()
        return now < lease.ends <= now + lease.seconds

    # -- results --------------------------------------------------------------------------------------------------

    def put_results(self, records: Iterable[ResultRecord], now: float) -> list[Callable[[], None]]:
        """Write `records`; returns whom to wake when the lock is released."""
        woken: list[Callable[[], None]] = []
        for record in records:
            known = self.get_result(record.task_id, now)
            if known is not None and known.status == SUCCESS:
                continue
            expires = None if record.ttl is None else now + record.ttl
            self.results[record.task_id] = StoredResult(record, expires)
            if record.status in READY_STATES:
                woken.extend(self._result_waiters.get(record.task_id, ()))
        return woken

    def get_result(self, task_id: str, now: float) -> ResultRecord | None:
        """The result, unless it has expired."""
        stored = self.results.get(task_id)
        if stored is None or (stored.expires is not None and stored.expires <= now):
            return None
        record = stored.record
        ttl = None if stored.expires is None else stored.expires - now
        return ResultRecord(record.task_id, record.status, record.meta, ttl)

    def sweep(self, now: float) -> int:
        """Delete up to `SWEEP_BATCH` expired results, groups and chords each."""
        return (
            _delete_expired(self.results, now) + _delete_expired(self.groups, now) + self.chords.sweep(now, SWEEP_BATCH)
        )

    # -- waiting --------------------------------------------------------------------------------------------------

    def add_work_waiter(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from any thread, when there may be work."""
        with self.lock:
            self._work_waiters.add(wake)

    def remove_work_waiter(self, wake: Callable[[], None]) -> None:
        """Do not call `wake` any more."""
        with self.lock:
            self._work_waiters.discard(wake)

    def work_waiters(self) -> list[Callable[[], None]]:
        """Whom to wake when the lock is released."""
        return list(self._work_waiters)

    def add_result_waiter(self, task_id: str, wake: Callable[[], None]) -> None:
        """Have `wake` called, from any thread, when the result is ready."""
        with self.lock:
            self._result_waiters.setdefault(task_id, set()).add(wake)

    def remove_result_waiter(self, task_id: str, wake: Callable[[], None]) -> None:
        """Do not call `wake` any more."""
        with self.lock:
            waiters = self._result_waiters.get(task_id, set())
            waiters.discard(wake)
            if not waiters:
                self._result_waiters.pop(task_id, None)


_stores: dict[str, MemoryStore] = {}


def memory_store(name: str) -> MemoryStore:
    """The store of this name, the same for all of this process."""
    store = _stores.get(name)
    return store if store is not None else _stores.setdefault(name, MemoryStore())  # one step: no lock to fork with


def wake_all(wakers: Iterable[Callable[[], None]]) -> None:
    """Call each; one whose event loop is closed by now is skipped."""
    for wake in wakers:
        with suppress(RuntimeError):  # "Event loop is closed": nobody waits there
            wake()


def _delete_expired(kept: dict[str, StoredResult] | dict[str, SavedGroup], now: float) -> int:
    expired = (key for key, one in kept.items() if one.expires is not None and one.expires <= now)
    keys = list(itertools.islice(expired, SWEEP_BATCH))
    for key in keys:
        del kept[key]
    return len(keys)
