"""What a SQLite file will never take is told from a file that is away: trying again would be in vain."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.message import Message, Publication
from celeriac.outcome import Acknowledge, ResultRecord, Settlement
from celeriac.storage.sqlite.errors import explain


def job(name: str = "1", body: bytes = b"", queue: str = "q") -> Publication:
    return Publication(Message({"id": name}, {}, body), queue)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SQLiteBroker]:
    made = SQLiteBroker(str(tmp_path / "queue.sqlite3"))
    yield made
    made.disconnect()


def limit_values(broker: SQLiteBroker, size: int) -> None:
    """Have the pooled connection take values of up to `size` bytes, as all take up to a billion."""
    broker.database.read(lambda connection: connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, size))


def test_a_result_that_is_too_large_is_refused_and_the_others_can_be_written(broker: SQLiteBroker) -> None:
    async def run() -> None:
        await broker.open("w", lease_seconds=10)
        broker.publish([job(str(n)) for n in range(3)])
        deliveries = await broker.reserve(["q"], 10, 0)
        metas = [b"{}", b"x" * 200_000, b"{}"]
        settlements = [
            Settlement(delivery, Acknowledge(), ResultRecord(str(n), "SUCCESS", metas[n]))
            for n, delivery in enumerate(deliveries)
        ]
        limit_values(broker, 100_000)
        with pytest.raises(StoreRefused, match="can not store this"):
            await broker.settle(settlements)
        assert await broker.settle([settlements[0]]) == []
        assert await broker.settle([settlements[2]]) == []
        await broker.close()
        backend = SQLiteBackend(broker.database)
        assert [backend.load(str(n)) is not None for n in range(3)] == [True, False, True]

    asyncio.run(run())


def test_a_message_that_is_too_large_is_refused(broker: SQLiteBroker) -> None:
    broker.publish([job()])
    limit_values(broker, 100_000)
    with pytest.raises(StoreRefused, match=broker.database.path):
        broker.publish([job("small"), job("large", b"x" * 200_000)])
    broker.publish([job("after")])
    assert asyncio.run(broker.depth("q")) == 2


@pytest.mark.parametrize(
    "publication", [job(queue="\ud800"), Publication(Message({}, {}, b""), "q", 10**30, float("nan"))]
)
def test_odd_publications_never_count_as_an_outage(broker: SQLiteBroker, publication: Publication) -> None:
    try:
        broker.publish([publication])
    except StoreRefused:
        assert asyncio.run(broker.depth("q")) == 0
    else:
        assert asyncio.run(broker.depth("q")) == 1


def test_values_that_have_no_form_in_sqlite_are_refused(broker: SQLiteBroker) -> None:
    backend = SQLiteBackend(broker.database)
    with pytest.raises(StoreRefused):
        backend.store([ResultRecord("\ud800", "SUCCESS", b"")])
    with pytest.raises(StoreRefused):
        broker.database.write(lambda tx: tx.execute("UPDATE counter SET value = ?", (2**64,)))
    with pytest.raises(StoreRefused):
        broker.database.write(lambda tx: tx.execute("UPDATE counter SET value = NULL"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("SQLITE_TOOBIG", StoreRefused),
        ("SQLITE_CONSTRAINT", StoreRefused),
        ("SQLITE_CONSTRAINT_NOTNULL", StoreRefused),
        ("SQLITE_MISMATCH", StoreRefused),
        ("SQLITE_RANGE", StoreRefused),
        ("SQLITE_BUSY", OperationalError),
        ("SQLITE_LOCKED", OperationalError),
        ("SQLITE_FULL", OperationalError),
        ("SQLITE_IOERR", OperationalError),
        ("SQLITE_CORRUPT", OperationalError),
        ("SQLITE_CANTOPEN", OperationalError),
        ("SQLITE_READONLY", OperationalError),
    ],
)
def test_result_codes(code: str, expected: type[Exception]) -> None:
    error = sqlite3.Error("from SQLite")
    error.sqlite_errorcode = getattr(sqlite3, code)
    error.sqlite_errorname = code
    assert type(explain(error, "/nowhere/queue.db", 1.0)) is expected
