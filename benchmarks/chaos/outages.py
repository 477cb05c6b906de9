"""Kills, and what befalls the server meanwhile: it is killed, stands still, hangs up, forgets scripts.

Redis writes every command to the disk before it answers (`appendfsync always`): what it had acknowledged is there when
it comes back, and the judgement needs no exception: a kill of the server explains no second run. On RabbitMQ the
connection is the lease: what a worker runs when it is lost may be given to another worker, too. Results are stored, so
that they are judged as well: on Redis beside the messages, else in a SQLite file. Nothing is published while the server
is away: a call that fails then tells its caller so, and whether its task runs says nothing.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.chaos import journal, tasks
from benchmarks.chaos.feed import Feed
from benchmarks.chaos.fleet import Fleet, Kill
from benchmarks.chaos.kills import dead_letters, keep_events, kept_of, wait_for
from benchmarks.chaos.outage import Outage, Server, What
from benchmarks.chaos.rabbit import RabbitServer
from benchmarks.chaos.server import RedisServer
from benchmarks.chaos.systems import CELERIAC, QueueType, Scene, System
from benchmarks.chaos.verdict import Verdict, came_back, judge, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.chaos.journal import Run

#: Seconds from the server's return in which nothing else happens: until all is written that had to wait for it.
_CALM: Final = 4.0
#: Seconds after which a worker that is not back is given up.
_PATIENCE: Final = 60.0
#: Seconds for which RabbitMQ may have an acknowledgement in memory only. Classic queues wait for more to write: what
#: had ended up to 1.8 s before a kill was seen to come back, and nothing is published in the 2 s before one.
UNSAVED: Final[dict[QueueType, float]] = {"quorum": 0.05, "classic": 3.0}


ON_REDIS: Final[tuple[What, ...]] = (
    *("restart", "restart", "absence", "pause"),
    *("hang up", "hang up", "forget scripts", "forget scripts"),
)
ON_RABBITMQ: Final[tuple[What, ...]] = (
    *("orderly restart", "orderly restart", "restart", "restart", "absence", "pause"),
    *("hang up", "hang up"),
)


@dataclass(frozen=True)
class Plan:
    """How much, how often.

    Attributes:
        backlog: tasks that wait whenever something happens; that many are published at the start.
        task_seconds: how long each takes.
        outages: what befalls the server, in an order that the seed decides.
        kills: how many children or workers are killed in between. One more is killed in each absence and each pause.
        interval: seconds between one and the next.
        workers: how many, of two processes each.
        lease_seconds: the setting `worker_lease_seconds`.
        absence: seconds between the kill of the server and its new start, when it is not restarted at once.
        paused: seconds for which the server stands still.
        seed: of the order and of the choice of victims.
    """

    backlog: int = 200
    task_seconds: float = 0.05
    outages: tuple[What, ...] = ON_REDIS
    kills: int = 6
    interval: float = 2.0
    workers: int = 2
    lease_seconds: float = 10.0
    absence: float = 12.0
    paused: float = 10.0
    seed: int = 1

    def order(self, chance: random.Random) -> list[What | None]:
        """What happens; None stands for a kill of a child or worker."""
        events: list[What | None] = [*self.outages, *[None] * self.kills]
        chance.shuffle(events)
        return events


class _Run:
    """One run with its processes."""

    def __init__(self, plan: Plan, scene: Scene, server: Server, feed: Feed, fleet: Fleet) -> None:
        self._plan = plan
        self._journal = scene.folder / "journal"
        self._server = server
        self._feed = feed
        self._fleet = fleet
        self.kills: list[Kill] = []
        self.outages: list[Outage] = []

    def disturb_all(self) -> None:
        """Kill and disturb as planned."""
        chance = random.Random(self._plan.seed)
        for what in self._plan.order(chance):
            self._feed.top_up(self._plan.backlog)
            time.sleep(self._plan.interval)
            self._fleet.check()
            if what is None:
                self._kill(chance)
            else:
                self._feed.top_up(self._plan.backlog)
                self.outages.append(self._server.disturb(what, meanwhile=lambda: self._kill(chance)))
                self._wait_until_back(self.outages[-1])

    def _kill(self, chance: random.Random) -> None:
        self.kills.append(self._fleet.kill(chance))

    def settle_down(self) -> None:
        """Wait for the last effects, and for as long as leases may still run out."""
        end = time.monotonic()
        wait_for(self._fleet, self._feed, 0, end + 3 * self._plan.lease_seconds + 30)
        time.sleep(max(0.0, end + 2 * self._plan.lease_seconds + 4 - time.monotonic()))
        self._fleet.check()

    def _wait_until_back(self, outage: Outage) -> None:
        until = time.monotonic() + _PATIENCE
        for worker in range(self._plan.workers):
            while came_back(journal.read(self._journal), outage, worker) is None:
                self._fleet.check()
                if time.monotonic() > until:
                    raise RuntimeError(f"worker {worker} is not back {_PATIENCE:.0f} s after {outage.what}")
                if not self._feed.left():
                    self._feed.send(self._plan.backlog)
                time.sleep(0.05)
        time.sleep(max(0.0, outage.after / 1e9 + _CALM - time.monotonic()))


def run_on_redis(folder: Path, plan: Plan) -> Verdict:
    """Carry out `plan` in `folder` with Celeriac on a Redis server of its own.

    Raises:
        RuntimeError: there is no server, a worker ended by itself, or is not back a minute after the server.
    """
    with RedisServer(folder, fsync="always", absence=plan.absence, paused=plan.paused) as server:
        scene = Scene(folder, CELERIAC, server.url, plan.lease_seconds, backend=None)
        return _run(scene, plan, server, server.stored_successes)


def run_on_rabbitmq(folder: Path, plan: Plan, system: System = CELERIAC) -> Verdict:
    """The same on a RabbitMQ node of its own, with Celeriac in any setup.

    Raises:
        RuntimeError: there is no server, a worker ended by itself, or is not back a minute after the server.
    """
    database = folder / "results.sqlite3"
    with RabbitServer(folder, absence=plan.absence, paused=plan.paused) as server:
        scene = Scene(folder, system, server.url, plan.lease_seconds, backend=f"sqlite:///{database}")
        judging = partial(judge, connection_is_lease=True, unsaved=UNSAVED[system.queue_type])
        return _run(scene, plan, server, lambda: _successes(database), judging)


def _successes(database: Path) -> set[int]:
    """The tasks whose result is in the file and is a success."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT task_id FROM result WHERE status = 'SUCCESS'").fetchall()
    return {tasks.number_of(task_id) for (task_id,) in rows}


def _run(
    scene: Scene,
    plan: Plan,
    server: Server,
    successes: Callable[[], set[int]],
    judging: Callable[[int, list[Run], list[Kill], list[Outage]], Verdict] = judge,
) -> Verdict:
    began = time.monotonic()
    with ExitStack() as stack:
        feed = stack.enter_context(Feed(scene, plan.task_seconds))
        feed.send(plan.backlog)
        fleet = stack.enter_context(Fleet(scene, plan.workers))
        wait_for(fleet, feed, plan.backlog - 1, time.monotonic() + 30)
        this = _Run(plan, scene, server, feed, fleet)
        this.disturb_all()
        this.settle_down()
        keep_events(scene.folder, this.kills, this.outages)
        runs = journal.read(scene.folder / "journal")
        left_over = len(fleet.stop())
        kept = kept_of(missing(feed.published, runs), server, scene)
        verdict = judging(feed.published, runs, this.kills, this.outages)
        return replace(
            verdict,
            kept=len(kept),
            dead_letters=dead_letters(scene),
            unstored=len({run.number for run in runs if run.ended is not None} - successes()),
            left_over=left_over,
            left_in_broker=server.left_over(),
            seconds=time.monotonic() - began,
        )
