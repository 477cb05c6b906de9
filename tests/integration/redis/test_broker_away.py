"""Workers whose Redis is away at their start, or goes away for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from servers.redis import RedisServer
from servers.waiting import wait_until

#: Seconds for a worker to end.
DEADLINE = 20.0
APP = """
import os
from celeriac import Celeriac
app = Celeriac("away", broker=os.environ["AWAY_URL"], **eval(os.environ["AWAY_SETTINGS"]))
"""


class Worker:
    """A worker process with a log."""

    def __init__(self, folder: Path, url: str, settings: dict[str, Any]) -> None:
        (folder / "away_app.py").write_text(APP)
        self._log = folder / "worker.log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celeriac", "-A", "away_app", "worker", "-l", "info", "-c", "1"],
                cwd=folder,
                env={**os.environ, "AWAY_URL": url, "AWAY_SETTINGS": repr(settings)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, words: str, times: int = 1) -> None:
        wait_until(lambda: self.log.count(words) >= times, f"{words!r} in the log")

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(DEADLINE)


Start = Callable[..., Worker]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server with a password, to be killed."""
    with RedisServer(password="hunter2") as server:
        yield server


@pytest.fixture
def start(tmp_path: Path, server: RedisServer) -> Iterator[Start]:
    """Starts workers on `server`, with settings."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Worker:
            worker = Worker(tmp_path, server.url(), settings)
            stack.callback(worker.end)
            return worker

        yield start


def test_a_worker_waits_for_its_broker(start: Start, server: RedisServer) -> None:
    server.kill()
    worker = start()
    worker.wait_for("Can not start without the broker")
    server.restart()
    worker.wait_for("ready.")
    assert worker.log.count("Can not start without the broker") == 1
    assert worker.log.count("The broker is there now") == 1
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(DEADLINE) == 0
    assert "hunter2" not in worker.log


def test_a_worker_that_waits_can_be_ended(start: Start, server: RedisServer) -> None:
    server.kill()
    worker = start()
    worker.wait_for("Can not start without the broker")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(DEADLINE) == 0


def test_a_worker_that_is_not_to_wait_says_so_and_ends(start: Start, server: RedisServer) -> None:
    server.kill()
    worker = start(broker_connection_retry_on_startup=False)
    assert worker.process.wait(DEADLINE) == 69
    assert "can not reach redis://127.0.0.1" in worker.log
    assert "hunter2" not in worker.log
    assert "Traceback" not in worker.log


def test_a_worker_that_is_not_to_reconnect_ends(start: Start, server: RedisServer) -> None:
    worker = start(broker_connection_retry=False)
    worker.wait_for("ready.")
    server.kill()
    assert worker.process.wait(DEADLINE) == 1
    assert "broker_connection_retry" in worker.log
