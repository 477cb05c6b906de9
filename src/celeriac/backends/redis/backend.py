"""The Redis result backend's face: `Backend`, in its order, in Celery's format.

Sync methods work in the caller's thread on pooled connections. For each event loop there is one connection for requests
and one that listens for results, however many coroutines wait (`ResultHub`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from celeriac.backends.metas import read_status, script_mark
from celeriac.backends.redis.chord_writing import ChordRules
from celeriac.backends.redis.chords import RedisChords
from celeriac.backends.redis.hub import ResultHub, batches
from celeriac.backends.redis.storing import SAVE_GROUP, StoringRules, acarry_out, carry_out, plan_storing, ttl_ms
from celeriac.backends.redis.waiting import Wanted, wait_ready
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES
from celeriac.storage.forks import renew_in_children
from celeriac.storage.redis.async_links import AsyncLink
from celeriac.storage.redis.keys import ResultKeys
from celeriac.storage.redis.links import Links
from celeriac.storage.redis.location import Location
from celeriac.storage.redis.subscriptions import Subscriptions

if TYPE_CHECKING:
    from celeriac.backends.base import ChordStore

_KEY: Final = "celery-task-meta-"
_DEFAULT_INFLATED_LIMIT: Final = 128 * 1024 * 1024
#: Seconds: about what Celery's default retry policy adds up to.
_PATIENCE: Final = 20.0


class _LoopSide(NamedTuple):
    """What belongs to one event loop."""

    link: AsyncLink
    hub: ResultHub


class RedisBackend:
    """Results in Redis, under Celery's keys and channels, so that either side reads the other's.

    Redis deletes results when their time is up, by its own clock. The records that waiters get have no `ttl`: those who
    are told of a result do not ask for it.

    Args:
        location: where.
        clock: for claims of chords; the system's stands for the server's own. Of results Redis counts the time itself.
        serializer: `result_serializer`, by which the state is read out of what is stored.
        accept: serialisers that may be decoded for that (`result_accept_content`).
        compressed: results are compressed (`result_compression`), so that scripts can not look into them.
        inflated_size_limit: bytes that a compressed result may inflate to.
        patience: seconds that Redis may be away while somebody waits for a result.
        result_chord_ordered: the members of a chord come to its body in the order of its header; else as they ended.

    Attributes:
        location: where.
        chords: where chords are joined.
        chord_rules: how they are kept.
        final_mark: how scripts recognise a stored SUCCESS: `json`, `msgpack`, `pickle` or `yaml`; None if they can not.

    Example:
        >>> from celeriac.backends import open_backend
        >>> open_backend("redis://:secret@localhost:6379/1").address
        'redis://localhost:6379/1'
    """

    def __init__(
        self,
        location: Location,
        *,
        clock: Clock = SYSTEM_CLOCK,
        serializer: str = "json",
        accept: Collection[str] = ("json",),
        compressed: bool = False,
        inflated_size_limit: int = _DEFAULT_INFLATED_LIMIT,
        patience: float = _PATIENCE,
        result_chord_ordered: bool = True,
    ) -> None:
        self.location = location
        self.address = location.address
        self.final_mark = None if compressed else script_mark(serializer)
        self._serializer = serializer
        self._accept = accept
        self._inflated_size_limit = inflated_size_limit
        self._patience = patience
        self._key_prefix = f"{location.prefix}{_KEY}".encode()
        self._rules = StoringRules(self.key, self.final_mark or "", self._status)
        self._group_keys = ResultKeys(location.prefix)
        self._links = Links(location)
        self.chord_rules = ChordRules(location.prefix, result_chord_ordered)
        self.chords: ChordStore | None = RedisChords(self.chord_rules, self._links, lambda: self._side().link, clock)
        self._subscriptions = Subscriptions(location)
        self._lock = threading.Lock()
        self._sides: dict[asyncio.AbstractEventLoop, _LoopSide] = {}
        self._parents_sides: list[_LoopSide] = []
        renew_in_children(self)

    def key(self, task_id: str) -> bytes:
        """The key of a task's result, and the channel on which it is published."""
        return self._key_prefix + task_id.encode("utf-8", "surrogatepass")

    def store(self, records: Sequence[ResultRecord]) -> None:
        """See `Backend.store`."""
        carry_out(plan_storing(records, self._rules), self._links)

    async def astore(self, records: Sequence[ResultRecord]) -> None:
        """See `Backend.astore`."""
        await acarry_out(plan_storing(records, self._rules), self._side().link)

    def load(self, task_id: str) -> ResultRecord | None:
        """See `Backend.load`. Raises `BackendError` for what is no result of the serialiser."""
        key = self.key(task_id)
        return self._loaded(key, self._links.call_all([("GET", key), ("PTTL", key)]))

    async def aload(self, task_id: str) -> ResultRecord | None:
        """See `Backend.aload`. Raises `BackendError` for what is no result of the serialiser."""
        key = self.key(task_id)
        return self._loaded(key, await self._side().link.call_all([("GET", key), ("PTTL", key)]))

    def load_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """See `Backend.load_many`. Raises `BackendError` for what is no result of the serialiser."""
        found: list[ResultRecord] = []
        for keys in batches(map(self.key, dict.fromkeys(task_ids))):
            found += self._records(keys, self._links.call("MGET", *keys))
        return found

    async def aload_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """See `Backend.aload_many`. Raises `BackendError` for what is no result of the serialiser."""
        found: list[ResultRecord] = []
        for keys in batches(map(self.key, dict.fromkeys(task_ids))):
            found += self._records(keys, await self._side().link.call("MGET", *keys))
        return found

    def wait_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """See `Backend.wait_ready`.

        Redis may be away for a while meanwhile. Raises `BackendError` for what is no result of the serialiser.
        """
        key = self.key(task_id)
        if timeout <= 0:
            return self._ready_or_none(key, self._links.call("GET", key))
        wanted = Wanted(key, lambda: self._links.call("GET", key), lambda meta: self._ready(key, meta))
        return wait_ready(wanted, timeout, self._subscriptions, self._patience)

    async def await_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """See `Backend.await_ready`. The rest as `wait_ready`."""
        key, side = self.key(task_id), self._side()
        if timeout <= 0:
            return self._ready_or_none(key, await side.link.call("GET", key))
        return await side.hub.wait(key, timeout)

    def forget(self, task_id: str) -> None:
        """See `Backend.forget`."""
        self._links.call("DEL", self.key(task_id))

    async def aforget(self, task_id: str) -> None:
        """See `Backend.aforget`."""
        await self._side().link.call("DEL", self.key(task_id))

    def forget_many(self, task_ids: Sequence[str]) -> None:
        """See `Backend.forget_many`."""
        for keys in batches(map(self.key, task_ids)):
            self._links.call("DEL", *keys)

    async def aforget_many(self, task_ids: Sequence[str]) -> None:
        """See `Backend.aforget_many`."""
        for keys in batches(map(self.key, task_ids)):
            await self._side().link.call("DEL", *keys)

    def save_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:
        """See `Backend.save_group`."""
        self._links.run(SAVE_GROUP, [self._group_keys.group(group_id)], [ttl_ms(ttl), meta])

    async def asave_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:
        """See `Backend.asave_group`."""
        await self._side().link.run(SAVE_GROUP, [self._group_keys.group(group_id)], [ttl_ms(ttl), meta])

    def load_group(self, group_id: str) -> bytes | None:
        """See `Backend.load_group`."""
        meta: bytes | None = self._links.call("GET", self._group_keys.group(group_id))
        return meta

    async def aload_group(self, group_id: str) -> bytes | None:
        """See `Backend.aload_group`."""
        meta: bytes | None = await self._side().link.call("GET", self._group_keys.group(group_id))
        return meta

    def forget_group(self, group_id: str) -> None:
        """See `Backend.forget_group`."""
        self._links.call("DEL", self._group_keys.group(group_id))

    async def aforget_group(self, group_id: str) -> None:
        """See `Backend.aforget_group`."""
        await self._side().link.call("DEL", self._group_keys.group(group_id))

    async def sweep(self) -> int:
        """See `Backend.sweep`. Redis sweeps by itself."""
        return 0

    def disconnect(self) -> None:
        """See `Backend.disconnect`. An event loop closes its connections when it comes round.

        Who is waiting at the moment goes on waiting, and closes what he uses when he is done.
        """
        self._links.close()
        self._subscriptions.close()
        with self._lock:
            sides = list(self._sides.items())
        for loop, side in sides:
            with suppress(RuntimeError):  # the loop is closed, and with it what it held
                loop.call_soon_threadsafe(_close_soon, side)

    def after_fork_in_child(self) -> None:
        """Event loops and their connections are the parent's. They are kept, since closing them would speak for it."""
        self._lock = threading.Lock()
        self._parents_sides += self._sides.values()
        self._sides = {}

    # -- inside ---------------------------------------------------------------------------------------------------

    def _side(self) -> _LoopSide:
        loop = asyncio.get_running_loop()
        side = self._sides.get(loop)
        if side is None:
            link = AsyncLink(self.location)
            side = _LoopSide(link, ResultHub(self.location, link, self._ready, self._patience))
            with self._lock:
                self._sides = {known: old for known, old in self._sides.items() if not known.is_closed()}
                self._sides[loop] = side
        return side

    def _status(self, meta: bytes) -> str:
        return read_status(
            meta, serializer=self._serializer, accept=self._accept, inflated_size_limit=self._inflated_size_limit
        )

    def _task_id(self, key: bytes) -> str:
        return key[len(self._key_prefix) :].decode("utf-8", "surrogatepass")

    def _loaded(self, key: bytes, replies: list[bytes | int | None]) -> ResultRecord | None:
        meta, left_ms = replies
        if not isinstance(meta, bytes) or not isinstance(left_ms, int):
            return None
        ttl = left_ms / 1000 if left_ms >= 0 else None
        return ResultRecord(self._task_id(key), self._status(meta), meta, ttl)

    def _records(self, keys: Sequence[bytes], metas: Sequence[bytes | None]) -> list[ResultRecord]:
        found = [(key, meta) for key, meta in zip(keys, metas, strict=True) if meta is not None]
        return [ResultRecord(self._task_id(key), self._status(meta), meta) for key, meta in found]

    def _ready(self, key: bytes, meta: bytes) -> ResultRecord | None:
        status = self._status(meta)
        return ResultRecord(self._task_id(key), status, meta) if status in READY_STATES else None

    def _ready_or_none(self, key: bytes, meta: bytes | None) -> ResultRecord | None:
        return None if meta is None else self._ready(key, meta)


def _close_soon(side: _LoopSide) -> None:
    """In the loop: hang up when nobody waits."""
    side.hub.close()
    closing = asyncio.get_running_loop().create_task(side.link.close())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


#: The loop itself keeps tasks by weak references only.
_closing: Final[set[asyncio.Task[None]]] = set()
