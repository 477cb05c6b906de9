"""One workflow, and one worker that is killed at a chosen step of it; another one must bring it to its end.

A step is a trip to the store that writes: a transaction of SQLite, a script of Redis. The worker is killed right before
or right after it: there is nothing in between, as far as the store is concerned. Where messages are in one store and
results and chords in another, these are the trips to the latter. Owns the places where that is done and
what is asked of them afterwards; which steps there are is seen by killing at one after the other until there is none.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal, Protocol

from benchmarks.chaos import journal
from benchmarks.chaos.systems import CELERIAC, Scene
from benchmarks.chaos.verdict import judge as judge_tasks
from benchmarks.chaos.workflows.run import results_of
from benchmarks.chaos.workflows.shapes import KINDS
from benchmarks.chaos.workflows.verdict import judge, plan_of, running
from redis import Redis

from celeriac.backends.redis.chords import CLAIM_CHORDS
from celeriac.brokers.redis.scripts import SETTLE
from servers.proxy import Point, RedisProxy
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

When = Literal["before", "after"]
#: All that a worker has the server execute, or those alone by which a workflow goes on.
Scripts = Literal["all", "of workflows"]

#: Seconds for whatever is waited for: a process to start or to end, a workflow to come to its end.
DEADLINE: Final = 30.0
#: The shortest that there is.
_LEASE: Final = 0.5
#: Keys that are there only while there is work; `.c` of a chord, for some minutes longer, says that it is over.
_WORK_ON_REDIS: Final = re.compile(
    r"celery|celeriac:(due|held|dead|chord|joins):?.*|celery-taskset-meta-.*\.[^c]", re.DOTALL
)
_OF_WORKFLOWS: Final = frozenset((SETTLE.sha, CLAIM_CHORDS.sha))
_PROGRAM: Final = Path(__file__).with_name("forked_workers.py")
_ROOT: Final = Path(__file__).parent.parent.parent


class StepError(AssertionError):
    """Something did not happen in time; what, is in the text."""


def wait_until(condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Return when `condition` holds.

    Raises:
        StepError: not within `deadline` seconds.
    """
    until = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > until:
            raise StepError(f"not within {deadline:.0f} s: {what}")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """The process is there, and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Forks:
    """Processes with the app of workflows, started by a program without threads; see `forked_workers`."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "forks.log"
        self._lock = Lock()
        self._pids: list[int] = []
        with self._log.open("wb") as log:
            self._program = subprocess.Popen(
                [sys.executable, str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )

    def start(self, scene: Scene, do: str, workflow: int, kill: tuple[int, When] | None = None) -> int:
        """The number of the new process.

        Raises:
            StepError: none was started within the deadline.
        """
        request = {
            "do": do,
            "environment": scene.variables(),
            "log": str(scene.folder / "log"),
            "workflow": workflow,
            "kill": kill,
        }
        requests, answers = self._program.stdin, self._program.stdout
        assert requests is not None
        assert answers is not None
        with self._lock:
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
            if not select.select([answers], [], [], DEADLINE)[0]:
                raise StepError(f"no process started: {self._log.read_text()}")
            self._pids.append(int(answers.readline()))
            return self._pids[-1]

    def close(self) -> None:
        """End all that still runs."""
        for pid in self._pids:
            kill(pid)
        self._program.communicate(timeout=DEADLINE)


def kill(pid: int) -> None:
    """SIGKILL, if it is there."""
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), f"{pid} is dead")


@contextmanager
def forks(folder: Path) -> Iterator[Forks]:
    """Run the program for the time of the block."""
    with closing(Forks(folder)) as program:
        yield program


class Store(Protocol):
    """Where the messages, results and chords of one workflow are.

    Attributes:
        url: of the messages.
        backend: of results and chords; None: with the messages.
    """

    url: str
    backend: str | None

    def left_over(self) -> list[str]:
        """What nobody needs any more once the workflow is over: messages, chords, claims."""
        ...


class SqliteStore:
    """A file. The worker kills itself."""

    backend: str | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite:///{path}"

    def left_over(self) -> list[str]:
        """See `Store`. A chord that has ended is remembered for a while, so that late shares are dropped."""
        counts = {
            "messages": "SELECT COUNT(*) FROM message",
            "dead letters": "SELECT COUNT(*) FROM dead",
            "chords": "SELECT COUNT(*) FROM chord WHERE NOT ended",
            "shares": "SELECT COUNT(*) FROM chord_share",
            "joins": "SELECT COUNT(*) FROM chord_join",
        }
        with closing(sqlite3.connect(self._path)) as connection:
            found = {what: connection.execute(sql).fetchone()[0] for what, sql in counts.items()}
        return [f"{count} {what}" for what, count in found.items() if count]


class RedisStore:
    """One database of a server. The worker is killed while a proxy keeps its command, or the reply to it."""

    backend: str | None = None

    def __init__(self, server: RedisServer, db: int) -> None:
        self.url = server.url(db)
        self.port = server.port
        self.db = db
        self._call("FLUSHDB")

    def left_over(self) -> list[str]:
        """See `Store`."""
        keys = [key.decode() for key in self._call("KEYS", "*")]
        return sorted(key for key in keys if _WORK_ON_REDIS.fullmatch(key))

    def _call(self, *command: str) -> Any:
        with closing(Redis.from_url(self.url, socket_timeout=DEADLINE)) as client:
            return client.execute_command(*command)


class RabbitStore:
    """A virtual host of a node, for messages alone."""

    def __init__(self, server: RabbitServer) -> None:
        self._server = server
        self._vhost = server.add_vhost()
        self.url = server.url(self._vhost)

    def left_over(self) -> list[str]:
        """See `Store`."""
        queues = self._server.queues(self._vhost)
        return [f"{state} in {name}" for name, state in queues.items() if state.ready or state.unacknowledged]


class StoresApart:
    """Messages in one place, results and chords in a file."""

    def __init__(self, messages: RedisStore | RabbitStore, path: Path) -> None:
        self._messages = messages
        self._results = SqliteStore(path)
        self.url = messages.url
        self.backend: str | None = self._results.url

    def left_over(self) -> list[str]:
        """See `Store`."""
        return self._results.left_over() or self._messages.left_over()


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
        at: the step.
        when: before or after.
        killed: whether the worker came to this step.
        faults: what was wrong then.
    """

    at: int
    when: When
    killed: bool
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return f"killed {self.when} step {self.at}: {'; '.join(self.faults)}"


class _Place:
    """A folder and a store for one trial."""

    def __init__(self, program: Forks, folder: Path, store: Store, kind: str) -> None:
        folder.mkdir()
        self._program = program
        self._store = store
        self.scene = Scene(folder, replace(CELERIAC, queue_type="quorum"), store.url, _LEASE, backend=store.backend)
        self._journal = folder / "journal"
        number = list(KINDS).index(kind)
        self._workflows = range(number, number + 1)
        self._wanted = running(plan_of(self._workflows))

    def send(self) -> None:
        """Send the workflow."""
        pid = self._start("send")
        wait_until(lambda: not is_alive(pid), "the workflow is sent")

    def work(self, url: str | None = None, kill_at: tuple[int, When] | None = None) -> int:
        """Start a worker."""
        return self._start("work", url, kill_at)

    def _start(self, do: str, url: str | None = None, kill_at: tuple[int, When] | None = None) -> int:
        scene = replace(self.scene, broker=url) if url else self.scene
        return self._program.start(scene, do, self._workflows[0], kill_at)

    def is_over(self) -> bool:
        """All that must run has run, and nothing is left of it."""
        return self._wanted <= journal.ended(self._journal) and not self._store.left_over()

    def faults(self) -> list[str]:
        """What is wrong, now that it is over."""
        runs = journal.read(self._journal)
        is_one = self._store.backend is None
        results = results_of(self.scene, self._workflows)
        verdict = judge(self._workflows, runs, [], [], results, judge_tasks, one_store=is_one)
        # One kill explains one more run of each task that it may have hit, and of those alone that nobody acknowledged.
        verdict = replace(verdict, tasks=replace(verdict.tasks, unexplained=0))
        # In two stores it also explains one more message of what comes next, which may run beside one that it has hit.
        verdict = replace(verdict, uncaused=0)
        most = 2 if is_one else 3
        again = [f"{run.number} ran {count} times" for run in runs if (count := _count(runs, run.number)) > most]
        return verdict.faults(_LEASE) + again

    def log(self) -> str:
        """The end of what the processes have written."""
        return (self.scene.folder / "log").read_text()[-1500:]


def _count(runs: list[journal.Run], number: int) -> int:
    return sum(run.number == number for run in runs)


def try_on_sqlite(program: Forks, folder: Path, kind: str, at: int, when: When) -> Trial:
    """Kill the worker of a workflow of this kind right before or after it commits its transaction number `at`."""
    folder.mkdir()
    place = _Place(program, folder / "place", SqliteStore(folder / "queue.sqlite3"), kind)
    place.send()
    victim = place.work(kill_at=(at, when))
    return _go_on(place, victim, at, when, lambda: not is_alive(victim))


def try_apart(
    program: Forks, folder: Path, messages: RedisStore | RabbitStore, kind: str, at: int, when: When
) -> Trial:
    """The same where messages lie elsewhere."""
    folder.mkdir()
    place = _Place(program, folder / "place", StoresApart(messages, folder / "results.sqlite3"), kind)
    place.send()
    victim = place.work(kill_at=(at, when))
    return _go_on(place, victim, at, when, lambda: not is_alive(victim))


def try_on_redis(
    program: Forks, folder: Path, store: RedisStore, kind: str, at: int, when: When, scripts: Scripts = "all"
) -> Trial:
    """Kill the worker of a workflow of this kind right before or after the server executes its script number `at`."""
    place = _Place(program, folder, store, kind)
    place.send()
    counted = iter(range(1, 1_000_000))

    def is_due(command: list[bytes]) -> bool:
        is_script = command[0].upper() == b"EVALSHA" and (scripts == "all" or command[1].decode() in _OF_WORKFLOWS)
        return is_script and next(counted) == at

    with RedisProxy(store.port) as proxy:
        reached = proxy.at(is_due, Point.DELAY)
        victim = place.work(proxy.url(store.db))
        wait_until(lambda: reached.is_sprung or place.is_over(), f"step {at}, or the end; {place.log()}")
        if reached.is_sprung:
            kill(victim)
            if when == "after":
                reached.let_go()
        return _go_on(place, victim, at, when, lambda: reached.is_sprung)


def _go_on(place: _Place, victim: int, at: int, when: When, is_killed: Callable[[], bool]) -> Trial:
    """Let another worker go on when the first is dead; the trial."""
    try:
        wait_until(lambda: is_killed() or place.is_over(), f"it dies or comes to the end: {place.log()}")
        killed = is_killed()
        worker = place.work() if killed else victim
        wait_until(place.is_over, "the end of the workflow")
        with suppress(ProcessLookupError):  # a step that comes after the end was the one
            os.kill(worker, signal.SIGTERM)
        wait_until(lambda: not is_alive(worker), "the worker ends")
    except StepError as error:
        return Trial(at, when, is_killed(), (str(error), *place.faults(), place.log()))
    return Trial(at, when, killed, tuple(place.faults()))


def try_all(trial: Callable[[int, When, int], Trial], *, at_once: int, most: int = 200) -> list[Trial]:
    """Kill at step 1, 2, 3, ... before and after, until the worker comes to the end.

    Args:
        trial: does it; also gets the number of the lane it runs in, from 0.
        at_once: how many are tried side by side.
        most: no workflow has so many steps.

    Returns:
        All trials in which the worker was killed, and the first in which it was not.

    Raises:
        StepError: the steps do not come to an end.
    """
    trials: list[Trial] = []
    lanes = list(range(at_once))

    def run(at: int, when: When) -> Trial:
        lane = lanes.pop()
        try:
            return trial(at, when, lane)
        finally:
            lanes.append(lane)

    with ThreadPoolExecutor(at_once) as pool:
        for first in range(1, most, at_once // 2):
            points: list[tuple[int, When]] = [
                (at, when) for at in range(first, first + at_once // 2) for when in ("before", "after")
            ]
            trials += pool.map(lambda point: run(*point), points)
            if not all(each.killed for each in trials):
                return [each for each in trials if each.killed or each.faults]
    raise StepError(f"more than {most} steps")
