"""The app that the workers of these tests run. Tasks tell what they do in a journal: one line for each event."""

from __future__ import annotations

import asyncio
import ctypes
import json
import multiprocessing
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

app = Celeriac("under_test", broker=os.environ.get("CELERIAC_TEST_BROKER") or f"sqlite:///{FOLDER / 'queue.sqlite3'}")
app.conf.update(
    worker_lease_seconds=float(os.environ.get("CELERIAC_TEST_LEASE", "10")),
    task_max_deliveries=3,
    worker_hard_limit_grace=0.3,
    worker_soft_shutdown_timeout=float(os.environ.get("CELERIAC_TEST_SOFT_SHUTDOWN", "0")),
)
app.conf.update(json.loads(os.environ.get("CELERIAC_TEST_SETTINGS", "{}")))


def note(event: str) -> None:
    """Append a line; the write is atomic, so that lines of several processes do not mix."""
    descriptor = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{event} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def wait_for_file(name: str, timeout: float = 120.0) -> None:
    """Wait until the test creates a file, which is how it opens a gate.

    Longer than a test may take to come to it: several waits, each with a deadline of its own.
    """
    end = time.monotonic() + timeout
    while not (FOLDER / name).exists():
        if time.monotonic() > end:
            raise TimeoutError(name)
        time.sleep(0.005)


def wait_until_noted(event: str, timeout: float = 10.0) -> None:
    """Wait until another process has noted `event`."""
    end = time.monotonic() + timeout
    while not JOURNAL.exists() or event not in JOURNAL.read_text():
        if time.monotonic() > end:
            raise TimeoutError(event)
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


@app.task
def gated_each(name: str) -> int:
    """Each run has a gate of its own."""
    note(f"begin-{name}")
    wait_for_file(f"open-{name}-{os.getpid()}")
    note(f"end-{name}")
    return os.getpid()


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
def kills_its_worker(name: str) -> None:
    """Kills the supervisor, which has started the template that leads this session, and its own process."""
    note(f"begin-{name}")
    status = Path(f"/proc/{os.getsid(0)}/stat").read_text()
    os.kill(int(status.rpartition(")")[2].split()[1]), signal.SIGKILL)
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
def forks_and_dies(name: str) -> str:
    """Leaves a process behind that holds copies of all that was open, and is killed the first time."""
    if not (FOLDER / f"forked-{name}").exists():
        (FOLDER / f"forked-{name}").touch()
        if os.fork() == 0:
            note("left-behind")
            time.sleep(30)
            os._exit(0)
        wait_until_noted("left-behind")
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def _double(number: int) -> int:
    return 2 * number


@app.task
def uses_a_pool() -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:  # leaving it terminates its processes
        return pool.map(_double, [1, 2, 3])


@app.task
def kills_its_group() -> None:
    os.killpg(0, signal.SIGKILL)


@app.task
def closes_everything() -> None:
    os.closerange(3, 256)


@app.task
def rejects_oddly() -> None:
    raise Reject("not text: \udcff")


@app.task
async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@app.task
async def cancels_all() -> None:
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()


@app.task(executor="thread")
def exits_from_thread(name: str) -> str:
    if not (FOLDER / f"exited-{name}").exists():
        (FOLDER / f"exited-{name}").touch()
        wait_for_file(f"open-{name}")
        os._exit(3)
    return name


@app.task(acks_late=False)
def early(name: str) -> str:
    note(f"ran-{name}")
    return name


@app.task
def takes(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@signals.worker_process_shutdown.connect
def on_process_shutdown(**_: object) -> None:
    time.sleep(0.2)
    note("process-shutdown")


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
