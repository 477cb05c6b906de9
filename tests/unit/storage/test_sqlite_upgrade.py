"""Files of schema 1 are brought up to date in place, whoever has them open, and nothing in them is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.chords import ChordStart
from celeriac.message import Message, encode_head
from celeriac.storage.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION, prepare
from celeriac.storage.sqlite.statements import load_statements


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file as version 1 has left it: one message and one result."""
    made = str(tmp_path / "queue.sqlite3")
    with closing(sqlite3.connect(made, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in load_statements("schema").values():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("UPDATE counter SET value = 7")
        row = (7, "q", 0, encode_head(Message({"id": "old"}, {}, b"")), "application/json", "utf-8", b"body")
        connection.execute(load_statements("publish")["insert_message"], row)
        connection.execute(load_statements("publish")["insert_ready"], ("q", 0, 7, 7))
        connection.execute(load_statements("result")["store"], ("old", "SUCCESS", None, b"meta", 0.0))
    return made


@pytest.fixture
def broker(path: str) -> Iterator[SQLiteBroker]:
    made = SQLiteBroker(path)
    yield made
    made.disconnect()


def version_of(path: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_what_version_1_has_stored_is_there_beside_what_is_new(path: str, broker: SQLiteBroker) -> None:
    async def run() -> None:
        broker.publish([], [ChordStart("g", 2)])
        await broker.open("w", lease_seconds=10)
        (delivery,) = await broker.reserve(["q"], 10, 0)
        assert (delivery.message.headers, delivery.message.body) == ({"id": "old"}, b"body")
        await broker.close()

    asyncio.run(run())
    backend = SQLiteBackend(broker.database)
    record = backend.load("old")
    assert record is not None
    assert record.meta == b"meta"
    backend.save_group("g", b"members", None)
    assert backend.load_group("g") == b"members"
    backend.disconnect()
    assert version_of(path) == SCHEMA_VERSION


def test_an_upgraded_file_has_the_tables_of_a_new_one(path: str, tmp_path: Path) -> None:
    def tables(file: str) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            prepare(connection, file)
            return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()

    assert tables(path) == tables(str(tmp_path / "new.sqlite3"))


def test_many_may_upgrade_at_once(path: str) -> None:
    def start(n: int) -> None:
        made = SQLiteBroker(path)
        try:
            made.publish([], [ChordStart(f"g{n}", n)])
        finally:
            made.disconnect()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(24)))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM chord").fetchone() == (24,)


def test_a_process_of_version_1_that_has_the_file_open_goes_on(path: str, broker: SQLiteBroker) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        statement = load_statements("result")["store"]
        old.execute(statement, ("before", "SUCCESS", None, b"meta", 0.0))
        broker.publish([], [ChordStart("g", 2)])
        old.execute(statement, ("after", "SUCCESS", None, b"meta", 0.0))
    backend = SQLiteBackend(broker.database)
    assert backend.load("before") is not None
    assert backend.load("after") is not None
    backend.disconnect()


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(path: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        before = connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()

        def refuse(action: int, argument: str | None, *_: object) -> int:
            return sqlite3.SQLITE_DENY if (action, argument) == (sqlite3.SQLITE_CREATE_TABLE, "saved_group") else 0

        connection.set_authorizer(refuse)
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            prepare(connection, path)
        connection.set_authorizer(None)
        assert connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall() == before
    assert version_of(path) == 1
