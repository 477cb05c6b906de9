"""Forks: a child publishes on connections of its own, and what the parent has open is not harmed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.brokers.sqlite import SQLiteBroker

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")

PROGRAM = """
import asyncio, os, sys, threading
from celeriac.backends import open_backend
from celeriac.brokers import open_broker
from celeriac.exceptions import NotSupported
from celeriac.message import Message, Publication
from celeriac.outcome import ResultRecord

def job(name):
    return Publication(Message({"id": name}, {}, b""), "q")

async def elsewhere():
    await broker.apublish([job("from a thread")])

url, children = sys.argv[1], 5
broker = open_broker(url)
backend = open_backend(None, broker=broker)
broker.publish([job("parent before")])
asyncio.run(elsewhere())
for n in range(children):
    if os.fork() == 0:
        try:
            broker.publish([job(f"child {n}")])
            backend.store([ResultRecord(f"child {n}", "SUCCESS", b"")])
            asyncio.run(broker.apublish([job(f"child {n} async")]))
        except NotSupported as exc:
            os.write(1, f"{exc}\\n".encode())  # in one piece
        finally:
            os._exit(0)
    broker.publish([job(f"parent {n}")])
for n in range(children):
    assert os.wait()[1] == 0
broker.publish([job("parent after")])
if broker.capabilities.between_processes:
    for n in range(children):
        assert backend.wait_ready(f"child {n}", 5), n
print(asyncio.run(broker.depth("q")))
"""


def run(url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_children_publish_to_sqlite(tmp_path: Path) -> None:
    assert run(f"sqlite:///{tmp_path}/queue.db") == f"{1 + 1 + 5 * 3 + 1}\n"


def test_children_of_a_memory_store_are_told_the_cure() -> None:
    output = run("memory://").splitlines()
    assert output[-1] == "8"
    assert len(output) == 6
    assert all("lives in the process that made it" in line and "use sqlite:///" in line for line in output[:-1])


def test_no_connection_is_open_while_a_process_forks(tmp_path: Path) -> None:
    """SQLite's locks would be believed in by the child, and a database lost when the parent closes."""
    broker = SQLiteBroker(str(tmp_path / "queue.db"))

    async def depth() -> int:
        return await broker.depth("q")

    asyncio.run(depth())
    assert (tmp_path / "queue.db-wal").exists(), "a connection is open"
    broker.database.before_fork()
    try:
        assert not (tmp_path / "queue.db-wal").exists(), "the last connection takes the log with it"
    finally:
        broker.database.after_fork()
    assert asyncio.run(depth()) == 0
    broker.disconnect()
