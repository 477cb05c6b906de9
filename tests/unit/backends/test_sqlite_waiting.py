"""Waiting for results on SQLite when wake-ups go astray."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.message import Message, Publication
from celeriac.outcome import ResultRecord
from celeriac.storage.sqlite import bell
from celeriac.storage.sqlite.bell import ListenerPool, Ringer
from celeriac.storage.sqlite.database import Database

DONE = ResultRecord("a", "SUCCESS", b"")


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[SQLiteBackend]:
    made = SQLiteBackend(str(tmp_path / "results.db"))
    yield made
    made.disconnect()


def bells(database: Database) -> list[tuple[str, int]]:
    return database.read(lambda c: c.execute("SELECT task_id, port FROM result_bell").fetchall())


async def until_armed(database: Database, count: int = 1) -> list[tuple[str, int]]:
    async with asyncio.timeout(10):
        while len(found := bells(database)) < count:
            await asyncio.sleep(0.001)
    return found


def test_lost_rings_only_delay(backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ringer, "ring", lambda self, rings: None)

    async def run() -> None:
        waiting = asyncio.create_task(backend.await_ready("a", 10))
        await until_armed(backend.database)
        backend.store([DONE])
        assert await waiting == DONE

    asyncio.run(run())
    threading.Timer(0.05, lambda: backend.store([ResultRecord("b", "FAILURE", b"")])).start()
    assert backend.wait_ready("b", 10) is not None


def test_without_sockets_waiters_poll(backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bell, "_open_socket", lambda *, listening=False: None)

    async def run() -> None:
        broker = SQLiteBroker(str(tmp_path / "results.db"))
        await broker.open("w", lease_seconds=10)
        reserving = asyncio.create_task(broker.reserve(["q"], 1, 10))
        waiting = asyncio.create_task(backend.await_ready("a", 10))
        await asyncio.sleep(0.01)
        backend.store([DONE])
        await broker.apublish([Publication(Message({}, {}, b""), "q")])
        assert await waiting == DONE
        assert len(await reserving) == 1
        await broker.close()

    asyncio.run(run())
    threading.Timer(0.05, lambda: backend.store([ResultRecord("b", "FAILURE", b"")])).start()
    assert backend.wait_ready("b", 10) is not None
    assert bells(backend.database) == []


def test_datagrams_of_strangers_do_no_harm(backend: SQLiteBackend) -> None:
    async def run() -> None:
        waiting = asyncio.create_task(backend.await_ready("a", 10))
        ((_, port),) = await until_armed(backend.database)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for payload in (b"", b"\xff\xfe", b"a", b"a\na\nb\n" * 5000, b"\n"):
                stranger.sendto(payload, ("127.0.0.1", port))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        backend.store([DONE])
        assert await waiting == DONE

    asyncio.run(run())


def test_bells_are_removed_by_whoever_rings_and_whoever_gives_up(backend: SQLiteBackend) -> None:
    async def run() -> None:
        waiting = [asyncio.create_task(backend.await_ready(name, 10)) for name in "abc"]
        await until_armed(backend.database, 3)
        backend.store([ResultRecord("a", "STARTED", b"")])
        assert len(bells(backend.database)) == 3
        backend.store([DONE])
        assert await waiting[0] == DONE
        assert sorted(name for name, _ in bells(backend.database)) == ["b", "c"]
        waiting[1].cancel()
        assert await backend.await_ready("d", 0.02) is None
        await asyncio.sleep(0.02)
        assert [name for name, _ in bells(backend.database)] == ["c"]
        backend.store([ResultRecord("c", "REVOKED", b"")])
        await waiting[2]

    asyncio.run(run())
    assert backend.wait_ready("e", 0.02) is None
    assert bells(backend.database) == []


def test_errors_reach_those_who_wait(backend: SQLiteBackend, tmp_path: Path) -> None:
    from celeriac.exceptions import OperationalError

    async def run() -> None:
        waiting = asyncio.create_task(backend.await_ready("a", 10))
        await until_armed(backend.database)
        for file in tmp_path.iterdir():
            file.unlink()
        tmp_path.rmdir()
        with pytest.raises(OperationalError, match="does not exist"):
            await waiting

    asyncio.run(run())
    with pytest.raises(OperationalError):
        backend.wait_ready("a", 10)
    tmp_path.mkdir()


def test_listeners_are_bounded_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "_MOST_LISTENERS", 3)
    pool = ListenerPool()
    borrowed = [pool.borrow() for _ in range(4)]
    assert borrowed[3] is None
    first = borrowed[0]
    assert first is not None
    Ringer().ring([(first.port, b"old news")])
    pool.give_back(first)
    assert pool.borrow() is first
    assert first.drain() == []
    pool.close()
