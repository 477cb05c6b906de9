"""The log is copied into the database beside a worker, before a commit would have to stop for it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.message import Message, Publication
from celeriac.storage.sqlite import checkpoints

PATIENCE = 20.0


def size_after(broker: SQLiteBroker, path: Path) -> int:
    broker.publish([Publication(Message({}, {}, b"x" * 1_000_000), "q")])
    return path.stat().st_size


def test_an_open_broker_has_its_log_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, copied, copy = tmp_path / "queue.sqlite3", threading.Event(), checkpoints.checkpoint
    broker, other = SQLiteBroker(str(path)), SQLiteBroker(str(path))
    sizes: list[int] = []

    def watched(connection: sqlite3.Connection) -> None:
        copy(connection)
        sizes.append(path.stat().st_size)
        if sizes[-1] > 1_000_000:
            copied.set()

    monkeypatch.setattr(checkpoints, "checkpoint", watched)

    async def run() -> None:
        assert size_after(other, path) < 500_000, "a megabyte alone is no reason for a commit to copy it"
        await broker.open("w", lease_seconds=100)
        assert await asyncio.to_thread(copied.wait, PATIENCE)
        await broker.close()

    asyncio.run(run())
    other.disconnect()


def test_a_store_that_is_away_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []
    twice = threading.Event()

    def failing(_connection: object) -> None:
        tries.append(1)
        if len(tries) >= 2:
            twice.set()
        raise OverflowError

    monkeypatch.setattr(checkpoints, "checkpoint", failing)
    broker = SQLiteBroker(str(tmp_path / "queue.sqlite3"))

    async def run() -> None:
        await broker.open("w", lease_seconds=100)
        assert await asyncio.to_thread(twice.wait, PATIENCE)
        await broker.close()

    asyncio.run(run())
