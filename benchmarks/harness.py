"""One measuring place: a fresh data folder and board for one peer, its worker, its client, and the waiting.

Owns the life of everything it starts. Knows no scenario and no task queue.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import board
from benchmarks.environments import HOME, ROOT, Environment, variables
from benchmarks.process import start, stop, tree_cpu, tree_pss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers.base import Peer
    from benchmarks.servers import Server, Servers


class BenchError(Exception):
    """A scenario could not be carried out; the message is what the report shows."""


class Worker:
    """A running worker of the peer, seen from outside."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, started: int) -> None:
        self._process = process
        self._log = log
        #: When it was started (ns, CLOCK_MONOTONIC).
        self.started = started

    def cpu(self) -> float:
        """Seconds of processor time of the whole tree so far."""
        return tree_cpu(self._process.pid)

    def pss(self) -> float:
        """Memory of the whole tree in MiB, shared pages divided."""
        return tree_pss(self._process.pid)

    def check(self) -> None:
        """Raises: BenchError: it has ended; the end of its log is in the message."""
        if self._process.poll() is not None:
            tail = self._log.read_text(errors="replace")[-600:]
            raise BenchError(f"worker ended with code {self._process.returncode}: {tail}")

    def wait_quiet(self, limit: float) -> None:
        """Wait until the tree uses less than 5 % of a processor for a second, `limit` seconds at most."""
        until = time.monotonic() + limit
        quiet = 0
        before = self.cpu()
        while quiet < 2 and time.monotonic() < until:
            time.sleep(0.5)
            now = self.cpu()
            quiet = quiet + 1 if now - before < 0.025 else 0
            before = now


class Place:
    """A data folder, a board, and what runs on them. `wishes`: environment variables of `benchmarks.apps.port`."""

    def __init__(
        self, peer: Peer, environment: Environment, folder: Path, servers: Servers, wishes: dict[str, str]
    ) -> None:
        self.peer = peer
        self.environment = environment
        self._folder = folder
        #: The server that the peer uses, where it uses one.
        self.server: Server | None = servers[peer.server] if peer.server else None
        self._broker = self.server.url if self.server else ""
        self.board = board.Board.create(folder / "board")
        self._env = variables() | {
            "PYTHONPATH": str(ROOT),
            "BENCH_DATA": str(folder),
            "BENCH_BROKER": self._broker,
            "BENCH_BACKEND": servers[peer.results_server].url if peer.results_server else "",
            "BENCH_QUEUE_TYPE": peer.queue_type or "",
            board.VARIABLE: str(folder / "board"),
            **wishes,
            **peer.variables,
        }

    @contextlib.contextmanager
    def worker(self, command: tuple[str, ...] = (), **blanks: object) -> Iterator[Worker]:
        """Run a worker for the time of the block; not yet ready when the block begins. `blanks` fill the command's."""
        program, *rest = command or self.peer.worker
        arguments = [part.format(broker=self._broker, **blanks) for part in rest]
        log = self._folder / "worker.log"
        started = time.monotonic_ns()
        process = start([self.environment.program(program), *arguments], env=self._env, cwd=self._folder, log=log)
        try:
            yield Worker(process, log, started)
        finally:
            stop(process)

    @contextlib.contextmanager
    def ready_worker(self) -> Iterator[Worker]:
        """A worker that has run a task and has come to rest; the board is empty again."""
        self.client("each", task="noop", count=1)
        with self.worker() as worker:
            self.wait(1, worker, limit=30)
            worker.wait_quiet(3)
            self.board.clear()
            yield worker

    def client(self, operation: str, *, timeout: float = 180, **request: Any) -> dict[str, Any]:
        """Let a process of the peer's environment do one operation of `benchmarks.apps.client`."""
        return self.run("benchmarks.apps.client", self.peer.app, operation, json.dumps(request), timeout=timeout)

    def run(self, module: str, *arguments: str, timeout: float) -> dict[str, Any]:
        """Run a module in a process of the peer's environment; the last line that it prints, read as JSON.

        Raises:
            BenchError: it failed, or took more than `timeout` seconds.
        """
        what = " ".join((module.rpartition(".")[2], *arguments[:2]))
        try:
            done = subprocess.run(
                [self.environment.python, "-m", module, *arguments],
                env=self._env,
                cwd=self._folder,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{what} took more than {timeout:.0f} s") from None
        if done.returncode:
            raise BenchError(f"{what} failed: {done.stderr[-600:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def wait(self, count: int, worker: Worker, *, limit: float) -> bool:
        """Wait until `count` tasks have run, `limit` seconds at most.

        Returns:
            Whether they have.

        Raises:
            BenchError: the worker ended, or not one task ran.
        """
        until = time.monotonic() + limit
        while (done := self.board.totals().done) < count:
            worker.check()
            if time.monotonic() > until:
                if not done:
                    raise BenchError(f"no task ran within {limit:.0f} s")
                return False
            time.sleep(0.002)
        return True


@contextlib.contextmanager
def place(
    peer: Peer,
    environment: Environment,
    servers: Servers,
    *,
    results: bool = False,
    coroutines: bool = False,
) -> Iterator[Place]:
    """A fresh place for one measurement, removed afterwards. On the disk of the repository, not in memory.

    Args:
        peer: what is measured.
        environment: where it is installed.
        servers: those that the peer uses are emptied.
        results: results are stored.
        coroutines: there is a coroutine among the tasks.
    """
    wishes = {"BENCH_RESULTS": str(int(results)), "BENCH_COROUTINES": str(int(coroutines))}
    HOME.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=HOME))
    try:
        for kind in peer.servers:
            servers[kind].clear(peer.queue_type)
        yield Place(peer, environment, folder, servers, wishes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
