"""Several processes on one SQLite file, and processes killed in the middle of every step."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.message import Message, Publication

HERE = Path(__file__).parent
STEPS = [
    "create",
    "publish",
    "open",
    "reserve",
    "wait",
    "settle",
    "join",
    "mark",
    "release",
    "renew",
    "recover",
    "close",
]
PATIENCE = 40

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed by POSIX signals here")


@pytest.fixture
def directory() -> Iterator[Path]:
    """In memory where possible: a killed process does not need a disk, and hundreds of files would be synced to it."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=HERE.parent
    )


@pytest.mark.parametrize("step", [*STEPS, "revive", "purge"])
def test_a_process_killed_at_any_statement_leaves_nothing_half_done(step: str, directory: Path) -> None:
    process = start("-m", "conformance.kill_at_statement", step, str(directory))
    output, _ = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0, output
    assert int(output.split()[-2]) >= 4, f"too few deaths to mean anything: {output}"


class Crew:
    """Processes of `queue_process.py` on one file, killed at the end if a test leaves them."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = start(str(HERE / "queue_process.py"), self.path, *arguments)
        self._stack.callback(self._end, process)
        return process

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()

    def workers(self, count: int) -> list[subprocess.Popen[str]]:
        started = [self.start("work", f"w{n}") for n in range(count)]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        return started


@pytest.fixture
def crew(directory: Path) -> Iterator[Crew]:
    with ExitStack() as stack:
        yield Crew(str(directory / "queue.sqlite3"), stack)


def wait_until_stored(path: str, names: set[str]) -> None:
    """Until every name has its result; then tell the workers to stop."""
    backend, deadline = SQLiteBackend(path), time.monotonic() + PATIENCE
    for name in names:
        assert backend.wait_ready(name, max(0.0, deadline - time.monotonic())) is not None, f"{name} was lost"
    backend.disconnect()


def tell_to_stop(path: str) -> None:
    broker = SQLiteBroker(path)
    broker.publish([Publication(Message({"id": "stop"}, {}, b""), "q")])
    broker.disconnect()


def done_by(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate(timeout=PATIENCE)
    lines = [line.split() for line in output.splitlines()]
    assert all(line[0] == "done" for line in lines), output
    return [name for line in lines for name in line[1:]]


def test_many_processes_lose_nothing_and_do_nothing_twice(crew: Crew) -> None:
    producers, each = 3, 200
    workers = crew.workers(3)
    making = [crew.start("produce", f"p{n}", str(each)) for n in range(producers)]
    names = {f"p{n}-{k}" for n in range(producers) for k in range(each)}
    wait_until_stored(crew.path, names | bodies(producers))
    tell_to_stop(crew.path)
    done = [name for worker in workers for name in done_by(worker)]
    assert sorted(done) == sorted(names)
    assert [process.wait(PATIENCE) for process in making + workers] == [0] * 6
    check_empty(crew.path, bodies(producers))


def test_workers_killed_at_random_lose_nothing(crew: Crew) -> None:
    names = {f"p{n}-{k}" for n in range(2) for k in range(300)}
    survivor, *victims = crew.workers(4)
    for n in range(2):
        crew.start("produce", f"p{n}", "300")
    backend = SQLiteBackend(crew.path)
    for n, victim in enumerate(victims):
        backend.wait_ready(f"p0-{n * 40}", PATIENCE)  # in the middle of the work
        victim.send_signal(signal.SIGKILL)
    backend.disconnect()
    wait_until_stored(crew.path, names | bodies(2))
    tell_to_stop(crew.path)
    done = [name for worker in (survivor, *victims) for name in done_by(worker)]
    assert len(done) == len(set(done)), "acknowledged twice"
    assert set(done) <= names
    check_empty(crew.path, bodies(2))


def bodies(producers: int) -> set[str]:
    """Of their chords."""
    return {f"body of p{n}" for n in range(producers)}


def check_empty(path: str, sent: set[str]) -> None:
    """Nothing is left but one of each body."""

    async def check() -> None:
        broker = SQLiteBroker(path)
        await broker.open("checker", lease_seconds=10)
        assert [d.message.headers["id"] for d in await broker.reserve(["q"], 100, 0)] == ["stop"]
        assert sorted(d.message.headers["id"] for d in await broker.reserve(["bodies"], 100, 0)) == sorted(sent)
        assert await broker.recover(100) == []
        await broker.close()

    asyncio.run(check())
