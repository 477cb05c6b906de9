"""What a SQLite file can meet: each fault is a clear error that names the file and the cure."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.exceptions import DecodeError, OperationalError
from celeriac.message import Message, Publication
from celeriac.outcome import Acknowledge, Bury, ResultRecord, Settlement
from celeriac.storage.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION


def job(name: str = "1", body: bytes = b"") -> Publication:
    return Publication(Message({"id": name}, {}, body), "q")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite3"


def publish_error(path: Path) -> str:
    broker = SQLiteBroker(str(path), busy_timeout=0.2)
    with pytest.raises(OperationalError) as caught:
        broker.publish([job()])
    assert str(path) in str(caught.value)
    with pytest.raises(OperationalError):
        SQLiteBackend(str(path), busy_timeout=0.2).store([ResultRecord("1", "SUCCESS", b"")])
    with pytest.raises(OperationalError):
        asyncio.run(broker.open("w", lease_seconds=10))
    broker.disconnect()
    return str(caught.value)


def test_not_a_database(path: Path) -> None:
    path.write_bytes(b"this is a text file, and no database at all\n" * 100)
    error = publish_error(path)
    assert "not a usable SQLite database" in error
    assert "move it away" in error


def test_a_damaged_database(path: Path) -> None:
    broker = SQLiteBroker(str(path))
    broker.publish([job(str(n), b"x" * 500) for n in range(200)])
    broker.disconnect()
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(bytes(content))
    assert "not a usable SQLite database" in publish_error(path)


def test_another_programs_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    error = publish_error(path)
    assert "belongs to another program" in error
    assert "a file of its own" in error


def test_a_later_version_of_the_schema(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    error = publish_error(path)
    assert "written by a newer Celeriac" in error
    assert f"its schema is {SCHEMA_VERSION + 1}, this version reads {SCHEMA_VERSION}" in error


def test_a_missing_directory_is_not_made(tmp_path: Path) -> None:
    error = publish_error(tmp_path / "missing" / "queue.db")
    assert f"the directory {tmp_path / 'missing'}" in error
    assert "create it first" in error
    assert not (tmp_path / "missing").exists()


def test_a_directory_instead_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "queue.db").mkdir()
    assert "is a directory" in publish_error(tmp_path / "queue.db")


def test_locked_for_long(path: Path) -> None:
    SQLiteBackend(str(path)).load("make the tables")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    error = publish_error(path)
    assert 0.5 < time.monotonic() - started < 5
    assert "locked by another process for more than 0.2 s" in error
    other.execute("ROLLBACK")
    other.close()
    broker = SQLiteBroker(str(path))
    broker.publish([job()])
    broker.disconnect()


def test_a_lock_that_is_let_go_in_time_is_waited_for(path: Path) -> None:
    broker = SQLiteBroker(str(path))
    broker.publish([job()])
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.1, lambda: other.execute("ROLLBACK")).start()
    broker.publish([job()])
    other.close()
    assert asyncio.run(broker.depth("q")) == 2
    broker.disconnect()


def test_readers_are_not_kept_waiting_by_a_writer(path: Path) -> None:
    backend = SQLiteBackend(str(path), busy_timeout=0.1)
    backend.store([ResultRecord("1", "SUCCESS", b"")])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert backend.load("1") is not None
    other.close()
    backend.disconnect()


def test_many_create_the_tables_at_once(path: Path) -> None:
    barrier, errors = threading.Barrier(12), []

    def publish(n: int) -> None:
        broker = SQLiteBroker(str(path))
        barrier.wait(10)
        try:
            broker.publish([job(str(n))])
        except OperationalError as exc:
            errors.append(exc)
        broker.disconnect()

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    broker = SQLiteBroker(str(path))
    assert asyncio.run(broker.depth("q")) == 12
    broker.disconnect()


def test_a_deleted_file_is_made_anew_and_the_worker_learns_of_it(path: Path) -> None:
    async def run() -> None:
        broker, producer = SQLiteBroker(str(path)), SQLiteBroker(str(path))
        await broker.open("w", lease_seconds=10)
        producer.publish([job("lost")])
        for file in path.parent.iterdir():
            file.unlink()
        producer.publish([job("new")])
        (delivery,) = await broker.reserve(["q"], 10, 5)
        assert delivery.message.headers["id"] == "new"
        assert not await broker.renew()
        assert await broker.renew()
        await broker.close()
        producer.disconnect()

    asyncio.run(run())


def test_a_connection_to_a_file_that_is_replaced_meanwhile_is_not_kept(path: Path) -> None:
    broker = SQLiteBroker(str(path))
    broker.publish([job("lost"), job("lost too")])

    def replace(_connection: sqlite3.Connection) -> None:
        for file in path.parent.iterdir():
            file.unlink()
        broker.publish([job("new")])

    broker.database.read(replace)
    assert asyncio.run(broker.depth("q")) == 1
    broker.disconnect()


DAMAGE = "UPDATE message SET head = x'ff00' WHERE id = (SELECT MIN(id) FROM message)"


def test_a_damaged_message_harms_no_other(path: Path) -> None:
    async def run() -> None:
        broker = SQLiteBroker(str(path))
        await broker.open("w", lease_seconds=10)
        broker.publish([job(str(n), b"body") for n in range(3)])
        broker.database.write(lambda tx: tx.execute(DAMAGE))
        deliveries = await broker.reserve(["q"], 10, 0)
        assert len(deliveries) == 3
        with pytest.raises(DecodeError):
            _ = deliveries[0].message
        settlements = [Settlement(deliveries[0], Bury("can not be read")), Settlement(deliveries[1], Acknowledge())]
        unfenced = Settlement(deliveries[0], Bury("again"), fenced=False)
        assert await broker.settle([*settlements, unfenced]) == []
        letters = await broker.dead_letters()
        assert [(letter.reason, letter.message.body) for letter in letters] == [
            ("again", b"body"),
            ("can not be read", b"body"),
        ]
        await broker.close()

    asyncio.run(run())


def test_relative_paths_do_not_follow_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    broker = SQLiteBroker("queue.sqlite3")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    broker.publish([job()])
    broker.disconnect()
    assert (tmp_path / "queue.sqlite3").exists()
    assert broker.address == f"sqlite:///{tmp_path}/queue.sqlite3"


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from celeriac.exceptions import ImproperlyConfigured

    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ImproperlyConfigured, match=r"3\.35"):
        SQLiteBroker(str(path))


# -- faults that need a process of their own -------------------------------------------------------------------------


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach; `tmp_path` is closed to others."""
    with tempfile.TemporaryDirectory() as outer:
        Path(outer).chmod(0o755)
        made = Path(outer) / "inner"
        made.mkdir()
        yield made
        made.chmod(0o755)


PUBLISH = """
import os, resource, sys
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.exceptions import DecodeError, OperationalError
from celeriac.message import Message, Publication

path, size, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
broker = SQLiteBroker(sys.argv[4])  # imports what is imported late, while it can be
broker.publish([Publication(Message({}, {}, b""), "q")])
broker.disconnect()
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
elif os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    SQLiteBroker(path).publish([Publication(Message({}, {}, b"x" * size), "q")])
except OperationalError as exc:
    print(exc)
else:
    print("published")
"""


def publish_in_child(path: Path, size: int = 1, *, limit: int = 0) -> str:
    """Publish as a user without special rights, or with a limit on the size of files in bytes."""
    source = Path(__file__).parents[3] / "src"
    return subprocess.run(
        [sys.executable, "-c", PUBLISH, str(path), str(size), str(limit), str(path.parent.parent / "warm-up")],
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=30,
    ).stdout


def test_a_read_only_directory(open_directory: Path) -> None:
    open_directory.chmod(0o555)
    output = publish_in_child(open_directory / "queue.db")
    assert f"the database {open_directory}/queue.db can not be written" in output
    assert f"its directory {open_directory}" in output


def test_a_read_only_file(open_directory: Path) -> None:
    path = open_directory / "queue.db"
    broker = SQLiteBroker(str(path))
    broker.publish([job()])
    broker.disconnect()
    path.chmod(0o444)
    open_directory.chmod(0o555)
    output = publish_in_child(path)
    assert f"the database {path} can not be written" in output


def test_a_limit_on_the_size_of_files(open_directory: Path) -> None:
    path = open_directory / "queue.db"
    output = publish_in_child(path, 3_000_000, limit=1_000_000)
    assert str(path) in output
    assert "free space" in output
    assert publish_in_child(path, 10, limit=1_000_000) == "published\n", "a small one still fits"


def test_a_full_disk(path: Path) -> None:
    broker = SQLiteBroker(str(path))
    broker.publish([job("before")])
    broker.database.read(lambda connection: connection.execute("PRAGMA max_page_count = 60").fetchone())
    with pytest.raises(OperationalError, match="no space left") as caught:
        broker.publish([job("big", b"x" * 1_000_000), job("small")])
    assert str(path) in str(caught.value)
    broker.publish([job("after")])
    assert asyncio.run(broker.depth("q")) == 2
    broker.disconnect()
