"""What the suites share: fixtures to override, and short words for the things tests are full of.

Tests are plain functions that run their coroutine themselves, so that no plugin for asyncio is needed.
"""

from __future__ import annotations

import asyncio
import functools
import statistics
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

import pytest

from celeriac.backends.base import Backend
from celeriac.brokers.base import Broker
from celeriac.message import Delivery, Message, Publication
from celeriac.outcome import Acknowledge, Action, ResultRecord, Settlement
from celeriac.result_meta import encode_meta
from celeriac.testing.clock import VirtualClock

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that a lease lasts in these tests, by the virtual clock.
LEASE = 10.0
#: Seconds of real time after which something that should happen at once counts as not happening.
PATIENCE = 20.0
#: How often wake-ups are measured.
ROUNDS = 15


class MakeBroker(Protocol):
    """Makes one more broker on the store of this test. All of them see the same queues."""

    def __call__(self) -> Broker: ...


class MakeBackend(Protocol):
    """Makes one more result backend on the store of this test."""

    def __call__(self) -> Backend: ...


class Harness:
    """The fixtures to override. Each test must get an empty store.

    Attributes:
        ttl_tolerance: seconds by which the time left of a stored result may be off. Only a store that counts it down
            by a clock of its own may set it.
        expires_by_itself: why `Backend.sweep` has nothing to do, for a store that deletes what has expired by itself.
        keeps_no_time: why results do not expire, for a backend that is not told how long they last.
        goes_with_connection: why results do not outlive `Backend.disconnect`.
        keeps_no_groups: why groups can not be saved, for a backend that stores nothing.
        due_by_real_time: future work waits by a clock of the store's own, which no test can turn. Its cases take real
            seconds then, and the fixture `clock` must give a clock that goes on by itself.
        clock_tolerance: seconds that may pass on the fixture `clock` between two lines of a test.
    """

    ttl_tolerance: float = 0.0
    expires_by_itself: str | None = None
    keeps_no_time: str | None = None
    goes_with_connection: str | None = None
    keeps_no_groups: str | None = None
    due_by_real_time: bool = False
    clock_tolerance: float = 0.0

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """The clock to give to every broker and backend of the test."""
        return VirtualClock()

    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        """Override: return a function that makes brokers on one fresh store, with the fixture `clock`."""
        raise NotImplementedError("override the fixture make_broker")

    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        """Override: return a function that makes backends on the store of `make_broker`, with the fixture `clock`."""
        pytest.skip("this broker has no results of its own")

    async def end_leases(self, clock: VirtualClock, *owners: str) -> None:
        """Have the leases of these owners run out, as if they were dead; those of `LEASE` seconds are all that do.

        Override it for a broker without `timed_leases`: cut the connections of these owners, and only theirs, from the
        server's side, and allow no new ones. Return when the server has given back what came over them.
        """
        assert owners
        clock.advance(LEASE)

    async def let_back(self, *owners: str) -> None:
        """Let these owners, whose leases have ended, reach the store again; override it with `end_leases`."""
        assert owners

    async def look_at_queue(self, broker: Broker) -> None:
        """Have `broker` meet what was lost: where no lease has a time, it comes by the way that other messages come.

        There must be nothing else in the queue.
        """
        if not broker.capabilities.timed_leases:
            assert await take(broker, 1000) == []

    def is_now(self, timestamp: float, clock: VirtualClock) -> bool:
        """Whether this is what the clock shows."""
        return abs(clock.time() - timestamp) <= self.clock_tolerance


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Make a test of a coroutine function; it fails when it takes longer than it possibly should."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(2 * PATIENCE):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


@asynccontextmanager
async def opened(broker: Broker, owner: str = "worker", lease_seconds: float = LEASE) -> AsyncIterator[Broker]:
    """`broker` with a lease, closed at the end."""
    await broker.open(owner, lease_seconds=lease_seconds)
    try:
        yield broker
    finally:
        await broker.close()


def message(name: object, body: bytes | None = None) -> Message:
    """A message that can be told from others by `name`."""
    text = str(name)
    return Message({"task": "t", "id": text}, {"correlation_id": text}, text.encode() if body is None else body)


def job(
    name: object, queue: str = "q", *, priority: int = 0, not_before: float | None = None, body: bytes | None = None
) -> Publication:
    """A publication of `message(name)`."""
    return Publication(message(name, body), queue, priority, not_before)


def same_message(got: Message, sent: Message) -> bool:
    """`got` is `sent`, perhaps with more headers and properties: a store's format may have some of its own."""
    return (
        (got.body, got.content_type, got.content_encoding) == (sent.body, sent.content_type, sent.content_encoding)
        and got.headers.items() >= sent.headers.items()
        and got.properties.items() >= sent.properties.items()
    )


def names(deliveries: Iterable[Any]) -> list[str]:
    """What was delivered (or died), by name."""
    return [delivery.message.headers["id"] for delivery in deliveries]


async def take(broker: Broker, limit: int = 100, *queues: str) -> list[Delivery]:
    """What can be had at once."""
    return await broker.reserve(queues or ("q",), limit, 0)


async def take_all(broker: Broker, *queues: str) -> list[Delivery]:
    """All that can be had, in as many calls as the broker needs: one may bring less than there is."""
    taken: list[Delivery] = []
    while more := await take(broker, 100, *queues):
        taken += more
    return taken


async def finish(broker: Broker, deliveries: Sequence[Delivery], action: Action | None = None) -> list[Settlement]:
    """Settle them all alike; returns what was refused."""
    chosen = Acknowledge() if action is None else action
    return await broker.settle([Settlement(delivery, chosen) for delivery in deliveries])


def state(
    task_id: str, status: str, result: object = None, ttl: float | None = None, *, compression: str | None = None
) -> ResultRecord:
    """A record of any state, its meta as tasks write it: a store may read the status out of it."""
    meta = encode_meta(task_id=task_id, status=status, result=result, children=[], compression=compression)
    return ResultRecord(task_id, status, meta, ttl)


def success(task_id: str, result: object = "done", ttl: float | None = None) -> ResultRecord:
    """A result that is final."""
    return state(task_id, "SUCCESS", result, ttl)


def failure(task_id: str, text: str = "failed", ttl: float | None = None) -> ResultRecord:
    """A result that is ready."""
    return state(task_id, "FAILURE", ValueError(text), ttl)


def is_stored(found: ResultRecord | None, record: ResultRecord, ttl_tolerance: float = 0.0) -> bool:
    """Whether `found` is `record`, its time left off by `ttl_tolerance` seconds at most."""
    if found is None or found.ttl is None or record.ttl is None:
        return found == record
    same = (found.task_id, found.status, found.meta) == (record.task_id, record.status, record.meta)
    return same and abs(found.ttl - record.ttl) <= ttl_tolerance


class Bells:
    """Measures how long a waiter takes to notice what another thread writes while it sleeps.

    Args:
        write: what the other thread calls.
    """

    def __init__(self, write: Callable[[Any], object]) -> None:
        self._write = write
        self._delays: list[float] = []
        self._written = 0.0

    def ring_soon(self, what: object) -> None:
        """Have `what` written a moment later, when the caller is asleep."""

        def write() -> None:
            self._written = time.perf_counter()
            self._write(what)

        timer = threading.Timer(0.01, write)
        timer.daemon = True
        timer.start()

    def heard(self) -> None:
        """The waiter has come back."""
        self._delays.append(time.perf_counter() - self._written)

    def check(self) -> None:
        """Half of the waiters must have come back sooner than polling could do without being a burden."""
        median = statistics.median(self._delays)
        assert median < 0.02, f"waiters came back after {median * 1000:.0f} ms: they poll"


class Crew:
    """Threads whose errors are not lost."""

    def __init__(self) -> None:
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], object]) -> None:
        """Run `work` in a thread."""

        def run() -> None:
            try:
                work()
            except BaseException as exc:  # noqa: BLE001 - it is raised again by join()
                self._errors.append(exc)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait for all of them; raise the first error."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a thread did not end in time"
        if self._errors:
            raise self._errors[0]
