"""The two sides as tests see them: clients that do the same by the same names, and workers as processes.

Owns the life of every process it starts. Knows no test.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from celeriac import Broadcast, Celeriac
from interop.journal import DEADLINE, Journal
from interop.seen import Seen, describe
from interop.settings import Told, with_broadcasts
from interop.transports import RedisTransport

if TYPE_CHECKING:
    from scripts.environments import Environment

    from interop.transports import Transport
    from servers.redis import RedisServer

_TESTS: Final = Path(__file__).resolve().parents[1]
#: Seconds for a worker to start or to end; a Celery worker takes 2 to 4 of them.
_WORKER_DEADLINE: Final = 40.0
#: The database that only journals live in.
_JOURNAL_DB: Final = 15
#: What both sides are told: all serialisers, and results read as they were written.
_COMMON: Final[dict[str, Any]] = {"accept_content": ["json", "pickle", "msgpack", "yaml"]}

#: Options of a Celery worker that does little beside its tasks, so that it starts and ends quickly.
QUIET: Final = ("-c", "1", "--without-gossip", "--without-mingle", "--without-heartbeat")
#: The same, with no process for its tasks.
SOLO: Final = ("-P", "solo", *QUIET)

SideName = Literal["celery", "celeriac"]


def other(side: SideName) -> SideName:
    """The other side."""
    return "celeriac" if side == "celery" else "celery"


class Client(Protocol):
    """Sends tasks and reads results."""

    def send(self, name: str, *args: Any, kwargs: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Send a task; its id."""
        ...

    def send_unchecked(self, name: str, *args: Any, **options: Any) -> str:
        """Send a task as a program does that knows no more than its name."""
        ...

    def get(self, task_id: str, timeout: float = DEADLINE) -> Seen:
        """Wait until it is done; what is seen then."""
        ...

    def look(self, task_id: str) -> Seen:
        """What is seen now."""
        ...


class CeleryClient:
    """Celery's side: a process in Celery's environment that answers questions."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, method: str, **arguments: Any) -> None:
        """Ask without waiting for the answer."""
        assert self._process.stdin is not None
        pickle.dump((method, arguments), self._process.stdin)
        self._process.stdin.flush()

    def answer(self) -> Any:
        """The answer to what was asked. It has a deadline of its own in that process."""
        assert self._process.stdout is not None
        good, value = pickle.load(self._process.stdout)
        assert good, value
        return value

    def call(self, method: str, **arguments: Any) -> Any:
        """Ask and wait for the answer."""
        self.ask(method, **arguments)
        return self.answer()

    def send(
        self,
        name: str,
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str:
        return str(
            self.call("send", name=name, args=args, kwargs=dict(kwargs or {}), options=options, settings=settings)
        )

    def send_unchecked(self, name: str, *args: Any, **options: Any) -> str:
        return self.send(name, *args, settings={"task_protocol": 2}, **options)

    def get(self, task_id: str, timeout: float = DEADLINE) -> Seen:
        seen: Seen = self.call("get", task_id=task_id, timeout=timeout)
        return seen

    def look(self, task_id: str) -> Seen:
        seen: Seen = self.call("look", task_id=task_id)
        return seen


class CeleriacClient:
    """Celeriac's side: its API in the test's own process."""

    def __init__(self, app: Celeriac) -> None:
        self.app = app

    def send(self, name: str, *args: Any, kwargs: Mapping[str, Any] | None = None, **options: Any) -> str:
        task = self.app.tasks.find(name)
        if task is None:
            return self.app.send_task(name, args, kwargs or {}, **options).id
        return task.apply_async(args, kwargs or {}, **options).id

    def send_unchecked(self, name: str, *args: Any, **options: Any) -> str:
        return self.app.send_task(name, args, **options).id

    def get(self, task_id: str, timeout: float = DEADLINE) -> Seen:
        result = self.app.AsyncResult(task_id)
        result.get(timeout=timeout, propagate=False)
        return describe(result)

    def look(self, task_id: str) -> Seen:
        return describe(self.app.AsyncResult(task_id))


class Worker:
    """A running worker of either side."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, ready: str, journal: Journal) -> None:
        self._process = process
        self._log = log
        self._ready = ready
        self._journal = journal

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def wait_ready(self) -> None:
        """Wait until it takes tasks."""
        if not self._journal.take(self._ready, timeout=_WORKER_DEADLINE):
            raise AssertionError(f"the worker is not ready after {_WORKER_DEADLINE} s:\n{self.log[-3000:]}")

    def ask_to_stop(self) -> None:
        """Begin a warm shutdown."""
        self._process.terminate()

    def wait_end(self) -> None:
        """Wait until it has ended by itself."""
        self._process.wait(_WORKER_DEADLINE)

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        with contextlib.suppress(ProcessLookupError):  # it and all its children have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_WORKER_DEADLINE)

    def stop(self) -> None:
        """A warm shutdown; by force when that takes too long."""
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self.kill()


class Place:
    """One database for results, and a transport, with settings for both sides: starts clients and workers on it.

    Args:
        server: the Redis server.
        db: the database.
        environment: where Celery is installed.
        folder: for logs.
        settings: settings of both sides, beside the addresses.
        transport: where queues are; None: in the same database.
    """

    def __init__(
        self,
        server: RedisServer,
        db: int,
        environment: Environment,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.server = server
        self.db = db
        self.transport: Transport = transport or RedisTransport(server, db)
        self.journal = Journal(server.url(_JOURNAL_DB))
        self._environment = environment
        self._folder = folder
        self._settings = {
            **_COMMON,
            **self.transport.settings(),
            "result_backend": server.url(db),
            **(settings or {}),
        }

    def redis(self, *command: str | bytes | float) -> Any:
        """One command on the database."""
        return self.server.call(*command, db=self.db)

    def app(self, **changes: Any) -> Celeriac:
        """An app of Celeriac's; to be closed."""
        settings = with_broadcasts({**self._settings, **changes}, Broadcast)
        return Celeriac("client", set_as_current=False, changes=settings)

    @contextlib.contextmanager
    def celeriac(self) -> Iterator[CeleriacClient]:
        """A client of Celeriac's."""
        app = self.app()
        try:
            yield CeleriacClient(app)
        finally:
            app.close()

    @contextlib.contextmanager
    def celery(self) -> Iterator[CeleryClient]:
        """A client of Celery's."""
        command = [self._environment.python, "-m", "interop.celery_client"]
        log = self._folder / f"client-{uuid.uuid4()}.log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=_TESTS,
                env=self._variables("client"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
            ) as process,
        ):
            try:
                yield CeleryClient(process)
            finally:
                process.kill()

    def start(self, side: SideName, queues: Sequence[str], *options: str) -> Worker:
        """Start a worker, on the queues of its settings if none is named; it is not ready yet."""
        ready = f"ready-{uuid.uuid4()}"
        log = self._folder / f"{side}-{ready}.log"
        program = {
            "celery": [self._environment.program("celery"), "-A", "interop.celery_app"],
            "celeriac": [sys.executable, "-m", "celeriac", "-A", "interop.celeriac_app"],
        }[side]
        wanted = ["-Q", ",".join(queues)] if queues else []
        command = [*program, "worker", "-l", "info", "-n", f"{side}@{ready[-8:]}", *wanted, *options]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=_TESTS,
                env=self._variables(ready),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Worker(process, log, ready, self.journal)

    @contextlib.contextmanager
    def worker(self, side: SideName, queues: Sequence[str], *options: str) -> Iterator[Worker]:
        """A worker for the time of the block, ready when it begins."""
        worker = self.start(side, queues, *options)
        try:
            worker.wait_ready()
            yield worker
        finally:
            worker.stop()

    def _variables(self, ready: str) -> dict[str, str]:
        """For a process of either side; `C_FORCE_ROOT` lets Celery take pickled messages as root."""
        told = Told(self.journal.url, self._settings, ready)
        own = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY", "CELERIAC"))}
        return own | told.variables() | {"PYTHONPATH": str(_TESTS), "C_FORCE_ROOT": "1"}
