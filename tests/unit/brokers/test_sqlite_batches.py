"""Bounds in bytes, the lease beside long writes, many queues."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.batches import SETTLED_BYTES, split
from celeriac.brokers.sqlite import SQLiteBroker, keeping, settling
from celeriac.brokers.sqlite.batches import TAKEN_BYTES
from celeriac.brokers.sqlite.leasing import Lease
from celeriac.brokers.sqlite.reserving import peek
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery, Message, PackedMessage, Publication
from celeriac.outcome import Acknowledge, Bury, Keep, Requeue, ResultRecord, Settlement
from celeriac.storage.sqlite.database import Transaction
from celeriac.testing import VirtualClock

LEASE = 10.0


def message(name: object, body: bytes = b"") -> Message:
    return Message({"id": str(name)}, {}, body)


def job(name: object, queue: str = "q", body: bytes = b"") -> Publication:
    return Publication(message(name, body), queue)


def names(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.message.headers["id"] for delivery in deliveries]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def broker(tmp_path: Path, clock: VirtualClock) -> Iterator[SQLiteBroker]:
    made = SQLiteBroker(str(tmp_path / "queue.sqlite3"), clock=clock)
    yield made
    made.disconnect()


def test_a_batch_of_deliveries_is_bounded_in_bytes_and_never_empty(broker: SQLiteBroker) -> None:
    async def run() -> None:
        await broker.open("w", lease_seconds=LEASE)
        half = b"x" * (TAKEN_BYTES // 2)
        broker.publish([job("huge", body=half * 3), *[job(n, body=half) for n in range(3)], job("small")])
        batches = [names(await broker.reserve(["q"], 100, 0)) for _ in range(4)]
        assert batches == [["huge"], ["0", "1"], ["2", "small"], []]
        await broker.close()

    asyncio.run(run())


def test_the_bound_covers_levels_and_queues_together(broker: SQLiteBroker) -> None:
    async def run() -> None:
        await broker.open("w", lease_seconds=LEASE)
        half = b"x" * (TAKEN_BYTES // 2)
        for queue in ("a", "b"):
            broker.publish([Publication(message(f"{queue}{n}", half), queue, n) for n in range(2)])
        assert names(await broker.reserve(["a", "b"], 100, 0)) == ["a0", "b0"]
        assert sorted(names(await broker.reserve(["a", "b"], 100, 0))) == ["a1", "b1"]
        await broker.close()

    asyncio.run(run())


def settlement(n: int, *, meta: bytes = b"", body: bytes = b"") -> Settlement:
    delivery = Delivery(n, n, PackedMessage(b"", body, "", ""), "q")
    return Settlement(delivery, Acknowledge(), ResultRecord(str(n), "SUCCESS", meta))


def test_settlements_are_split_by_what_they_write() -> None:
    def sizes(settlements: Sequence[Settlement]) -> list[int]:
        return [len(part) for part in split(settlements, 100)]

    assert sizes([]) == [0]
    assert sizes([settlement(n, body=b"x" * 90) for n in range(9)]) == [9], "what is deleted costs nothing"
    assert sizes([settlement(n, meta=b"x" * 50) for n in range(5)]) == [2, 2, 1]
    assert sizes([settlement(n, meta=b"x" * 101) for n in range(3)]) == [1, 1, 1]
    delivery = settlement(1, body=b"x" * 90).delivery
    for one in (
        Settlement(delivery, Bury("no use")),
        Settlement(delivery, Requeue(message("again", b"x" * 60))),
        Settlement(delivery, Keep(), None, (job("next", body=b"x" * 60),)),
    ):
        assert sizes([one, one]) == [1, 1]


async def take_three(broker: SQLiteBroker) -> list[Settlement]:
    """Three settlements of which each needs a transaction of its own."""
    await broker.open("w", lease_seconds=LEASE)
    broker.publish([job(n) for n in range(3)])
    meta = b"x" * (SETTLED_BYTES // 2 + 1)
    return [
        Settlement(d, Acknowledge(), ResultRecord(name, "SUCCESS", meta), (job(f"after {name}", "next"),))
        for d in await broker.reserve(["q"], 3, 0)
        for name in names([d])
    ]


def test_parts_that_were_written_before_a_failure_count_as_written(
    broker: SQLiteBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    settle = settling.settle

    def failing_once(transaction: Transaction, lease: Lease, settlements: Sequence[Settlement]) -> list[Settlement]:
        calls.append(len(settlements))
        if len(calls) == 2:
            raise OperationalError("the store is away")
        return settle(transaction, lease, settlements)

    async def run() -> None:
        settlements = await take_three(broker)
        monkeypatch.setattr(settling, "settle", failing_once)
        with pytest.raises(OperationalError, match="away"):
            await broker.settle(settlements)
        assert await broker.settle(settlements) == []
        assert calls == [1, 1, 1, 1]
        assert await broker.settle(settlements) == settlements, "now they are settled, and known to be"
        assert names(await broker.reserve(["next"], 10, 0)) == ["after 0", "after 1", "after 2"]
        backend = SQLiteBackend(broker.database)
        assert all(backend.load(str(n)) is not None for n in range(3))
        await broker.close()

    asyncio.run(run())


def test_one_long_write_after_another_prolongs_the_lease(
    broker: SQLiteBroker, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = settling.settle

    def slow(transaction: Transaction, lease: Lease, settlements: Sequence[Settlement]) -> list[Settlement]:
        clock.advance(LEASE * 0.4)
        return settle(transaction, lease, settlements)

    async def run() -> None:
        settlements = await take_three(broker)
        monkeypatch.setattr(settling, "settle", slow)
        assert await broker.settle(settlements) == []
        assert await broker.renew(), "12 seconds of writing did not cost a lease of 10"
        await broker.close()

    asyncio.run(run())


def test_renew_does_not_wait_behind_other_calls(broker: SQLiteBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow_depth(_connection: object, _queue: str) -> int:
        started.set()
        assert go_on.wait(20)
        return 7

    async def run() -> None:
        await broker.open("w", lease_seconds=LEASE)
        monkeypatch.setattr(keeping, "depth", slow_depth)
        slow = asyncio.create_task(broker.depth("q"))
        await asyncio.to_thread(started.wait, 20)
        async with asyncio.timeout(20):
            assert await broker.renew()
        assert not slow.done()
        go_on.set()
        assert await slow == 7
        await broker.close()

    asyncio.run(run())


def test_thousands_of_empty_queues_are_looked_at_in_one_statement(broker: SQLiteBroker) -> None:
    queues = [f"q{n}" for n in range(5000)]
    statements: list[str] = []

    def look() -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            connection.set_trace_callback(statements.append)
            try:
                return peek(connection, queues, 0.0).anything
            finally:
                connection.set_trace_callback(None)

        return broker.database.read(work)

    assert not look()
    assert len(statements) == 1
    broker.publish([job(1, "elsewhere")])
    assert not look()
    broker.publish([job(2, "q4999")])
    assert look()
