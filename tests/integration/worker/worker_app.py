"""The app that the workers of these tests run. Tasks tell what they do in a journal: one line for each event."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from celeriac import Celeriac, signals
from celeriac.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celeriac.task import Task

FOLDER = Path(os.environ["CELERIAC_TEST_FOLDER"])
JOURNAL = FOLDER / "journal"

app = Celeriac("under_test", broker=f"sqlite:///{FOLDER / 'queue.sqlite3'}")
app.conf.update(
    worker_lease_seconds=float(os.environ.get("CELERIAC_TEST_LEASE", "10")),
    task_max_deliveries=3,
    worker_hard_limit_grace=0.3,
    worker_soft_shutdown_timeout=float(os.environ.get("CELERIAC_TEST_SOFT_SHUTDOWN", "0")),
)


def note(event: str) -> None:
    """Append a line; the write is atomic, so that lines of several processes do not mix."""
    descriptor = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{event} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def wait_for_file(name: str, timeout: float = 30.0) -> None:
    """Wait until the test creates a file, which is how it opens a gate."""
    end = time.monotonic() + timeout
    while not (FOLDER / name).exists():
        if time.monotonic() > end:
            raise TimeoutError(name)
        time.sleep(0.005)


@app.task
def add(x: int, y: int) -> int:
    return x + y


_kept: list[bytes] = []


@app.task
def keeps(mebibytes: int) -> int:
    """Uses memory that its process never gives back."""
    _kept.append(os.urandom(mebibytes << 20))
    return os.getpid()


@app.task
def echo(text: str) -> str:
    return text


@app.task
async def add_soon(x: int, y: int) -> int:
    await asyncio.sleep(0.001)
    return x + y


@app.task
def where() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


@app.task(executor="thread")
def where_in_thread() -> tuple[int, str]:
    return os.getpid(), threading.current_thread().name


@app.task
async def where_in_coroutine() -> tuple[int, str]:
    return os.getpid(), type(asyncio.get_running_loop()).__name__


@app.task
def noted(name: str) -> None:
    note(f"ran-{name}")


@app.task
def gated(name: str) -> str:
    note(f"begin-{name}")
    wait_for_file(f"open-{name}")
    note(f"end-{name}")
    return name


@app.task(acks_late=False)
def gated_early(name: str) -> str:
    note(f"begin-{name}")
    wait_for_file(f"open-{name}")
    return name


@app.task(reject_on_worker_lost=False)
def killed_once_and_for_all() -> None:
    note("begin-once")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def killer() -> None:
    note("begin-killer")
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def killed_first(name: str) -> str:
    """Kills its process the first time."""
    marker = FOLDER / f"killed-{name}"
    note(f"begin-{name}")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return name


@app.task(bind=True, max_retries=5)
def fails_twice(self: Task[Any, Any]) -> int:
    if self.request.retries < 2:
        raise self.retry(countdown=0.05, exc=ValueError("not yet"))
    return self.request.retries


@app.task
def raises(text: str) -> None:
    raise ValueError(text)


@app.task
def ignored() -> None:
    raise Ignore


@app.task
def rejected() -> None:
    raise Reject("spoilt", requeue=False)


@app.task(track_started=True)
def tracked() -> None:
    note("begin-tracked")
    wait_for_file("open-tracked")


def _spin(seconds: float) -> str:
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(0.001)
    except SoftTimeLimitExceeded:
        return "cleaned up"
    return "finished"


@app.task
def spins(seconds: float) -> str:
    return _spin(seconds)


@app.task(executor="thread")
def spins_in_thread(seconds: float) -> str:
    return _spin(seconds)


@app.task
async def spins_in_coroutine(seconds: float) -> str:
    try:
        await asyncio.sleep(seconds)
    except SoftTimeLimitExceeded:
        return "cleaned up"
    return "finished"


@app.task(executor="thread")
def hangs_in_thread() -> None:
    time.sleep(20)  # a system call that no exception interrupts


@app.task
async def hangs_in_coroutine() -> None:
    time.sleep(20)


@app.task
def holds_the_interpreter(seconds: int) -> str:
    """Keeps the global interpreter lock for whole seconds: PyDLL does not release it."""
    note("begin-holding")
    ctypes.PyDLL(None).sleep(seconds)
    note("end-holding")
    return "done"


@app.task
def errback(request: Any, exception: BaseException, traceback: str | None) -> None:
    note(f"errback-{request.id}-{type(exception).__name__}")


@app.task
def errback_by_id(task_id: str) -> None:
    note(f"errback-by-id-{task_id}")


@app.task
def calls_another() -> str:
    return str(add.delay(20, 22).id)


@signals.worker_process_init.connect
def on_process_init(**_: object) -> None:
    note("process-init")
    if os.environ.get("CELERIAC_TEST_INIT_HANGS") and not (FOLDER / "hung").exists():
        (FOLDER / "hung").touch()
        time.sleep(60)


@signals.worker_ready.connect
def on_ready(**_: object) -> None:
    note("worker-ready")


@signals.worker_shutdown.connect
def on_shutdown(**_: object) -> None:
    note("worker-shutdown")
