"""Workers for the tests beside this file: started on request, always ended."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DEADLINE = 20.0
MODULE = "worker_app"


def wait_until(condition: Callable[[], Any], what: str, timeout: float = DEADLINE) -> Any:
    """Return what `condition` gives as soon as it is true."""
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, f"not in {timeout} s: {what}"
        time.sleep(0.01)
    return found


def is_alive(pid: int) -> bool:
    """The process exists and is no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


class RunningWorker:
    """One `celeriac worker` process."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = DEADLINE) -> int:
        return self.process.wait(timeout)

    def children(self) -> list[int]:
        """All processes below this one."""
        return _descendants(self.process.pid)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for child in (task / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


class Bench:
    """A folder with a broker file and a journal, the app, and workers on it."""

    def __init__(self, folder: Path, tasks: ModuleType) -> None:
        self.folder = folder
        self.tasks = tasks
        self._workers: list[RunningWorker] = []

    def start(self, *options: str, ready: bool = True, **environment: str) -> RunningWorker:
        """Start a worker; by default return when it is ready."""
        log = self.folder / f"worker-{len(self._workers)}.log"
        seen = self.count("worker-ready")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celeriac", "-A", MODULE, "worker", "-l", "info", *options],
                cwd=Path(__file__).parent,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker = RunningWorker(process, log)
        self._workers.append(worker)
        if ready:
            wait_until(
                lambda: self.count("worker-ready") > seen or process.poll() is not None, f"ready: {log.read_text()}"
            )
            assert process.poll() is None, worker.log
        return worker

    def open(self, name: str) -> None:
        """Let a gated task go on."""
        (self.folder / f"open-{name}").touch()

    def events(self) -> list[tuple[str, int]]:
        """What tasks have noted: event and process."""
        try:
            text = (self.folder / "journal").read_text()
        except FileNotFoundError:
            return []
        lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be half written
        return [(name, int(pid)) for name, pid in (line.split() for line in lines)]

    def count(self, event: str) -> int:
        return sum(name == event for name, _ in self.events())

    def pid_of(self, event: str) -> int:
        """The process that noted `event`, as soon as one has."""
        return int(wait_until(lambda: [pid for name, pid in self.events() if name == event], event)[-1])

    def end(self) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                os.killpg(worker.process.pid, signal.SIGKILL)
                worker.process.wait(DEADLINE)


@contextmanager
def bench_on(broker: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench whose app has this broker; None for a SQLite file in `folder`."""
    monkeypatch.setenv("CELERIAC_TEST_FOLDER", str(folder))
    monkeypatch.setenv("CELERIAC_TEST_BROKER", broker or "")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    sys.modules.pop(MODULE, None)
    tasks = importlib.import_module(MODULE)
    running = Bench(folder, tasks)
    try:
        yield running
    finally:
        running.end()
        tasks.app.close()
        sys.modules.pop(MODULE, None)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with bench_on(None, tmp_path, monkeypatch) as running:
        yield running
