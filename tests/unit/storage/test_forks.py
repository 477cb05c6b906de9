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


FORKERS = """
import os, sys, threading, time
from celeriac.brokers import open_broker
from celeriac.message import Message, Publication

broker = open_broker(sys.argv[1])
broker.publish([Publication(Message({}, {}, b""), "q")])
until = time.monotonic() + 2
forks, published = [], []

def fork():
    while time.monotonic() < until:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        forks.append(pid)

def publish():
    while time.monotonic() < until:
        open_broker(sys.argv[1]).publish([Publication(Message({}, {}, b""), "q")])
        published.append(1)

threads = [threading.Thread(target=work, daemon=True) for work in (fork, fork, fork, publish)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(20)
stuck = sum(thread.is_alive() for thread in threads)
print("stuck", stuck, "forked", bool(forks), "published", bool(published), flush=True)
os._exit(0)
"""

#: A thread holds the locks while the process forks; the child has to do without that thread.
HELD_LOCKS = """
import asyncio, os, signal, sys, threading
from celeriac.backends import open_backend
from celeriac.brokers import open_broker
from celeriac.message import Message, Publication
from celeriac.storage.memory import memory_store

broker = open_broker(sys.argv[1])
backend = open_backend(None, broker=broker)
asyncio.run(broker.depth("q"))
locks = [broker._runner._lock, backend._runner._lock, backend._listeners._lock, memory_store("m").lock]
held = threading.Event()

def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    threading.Event().wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    try:
        asyncio.run(broker.depth("q"))
        assert backend.wait_ready("1", 0.05) is None
        assert asyncio.run(backend.aload("1")) is None
        with memory_store("m").lock:
            os._exit(0)
    finally:
        os._exit(1)
print("status", os.waitpid(pid, 0)[1], flush=True)
os._exit(0)
"""


def run(url: str, program: str = PROGRAM) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, url],
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


def test_threads_that_fork_at_once_do_not_lock_each_other_out(tmp_path: Path) -> None:
    assert run(f"sqlite:///{tmp_path}/queue.db", FORKERS) == "stuck 0 forked True published True\n"


def test_a_child_does_without_locks_that_another_thread_held(tmp_path: Path) -> None:
    assert run(f"sqlite:///{tmp_path}/queue.db", HELD_LOCKS) == "status 0\n"


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
