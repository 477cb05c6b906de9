"""Send workflows, kill workers and the server at random meanwhile, then judge what became of every task.

On Redis and SQLite messages, results and chords are in one store; on RabbitMQ results and chords are in a SQLite file.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.chaos import journal
from benchmarks.chaos import verdict as tasks_verdict
from benchmarks.chaos.feed import Feed
from benchmarks.chaos.fleet import Fleet, Kill
from benchmarks.chaos.kills import dead_letters, keep_events, kept_of, wait_for
from benchmarks.chaos.outages import UNSAVED
from benchmarks.chaos.rabbit import RabbitServer
from benchmarks.chaos.server import RedisServer
from benchmarks.chaos.systems import CELERIAC, Scene, System
from benchmarks.chaos.tasks import task_id
from benchmarks.chaos.workflows.verdict import Result, Verdict, judge, plan_of, running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.chaos.journal import Run
    from benchmarks.chaos.outage import Outage, Server, What

_APP: Final = "benchmarks.chaos.workflows.app"
#: Seconds that a message may need to be run again beyond the lease of the worker that had it.
_RECOVERY: Final = 40.0


@dataclass(frozen=True)
class Plan:
    """How many, how long, how often.

    Attributes:
        workflows: how many in all; their kinds take turns. They are sent in equal parts before each event.
        task_seconds: how long each task takes.
        kills: of children or workers.
        outages: what befalls the server, among the kills in an order that the seed decides. One more child or worker
            is killed in each absence and each pause.
        interval: seconds from the sending of a part to the event, on average: so few that the part is under way.
        workers: how many, of two processes each.
        lease_seconds: the setting `worker_lease_seconds`.
        absence: seconds between the kill of the server and its new start, when it is not restarted at once.
        paused: seconds for which the server stands still.
        seed: of all that is left to chance.
    """

    workflows: int = 2_000
    task_seconds: float = 0.02
    kills: int = 12
    outages: tuple[What, ...] = ()
    interval: float = 0.5
    workers: int = 3
    lease_seconds: float = 5.0
    absence: float = 7.0
    paused: float = 6.0
    seed: int = 1


#: What befalls servers in a run of the default length.
ON_REDIS: Final[tuple[What, ...]] = ("restart", "absence", "pause", "hang up", "forget scripts")
ON_RABBITMQ: Final[tuple[What, ...]] = ("restart", "orderly restart", "absence", "hang up")


def system(base: System = CELERIAC) -> System:
    """Celeriac with the app of workflows."""
    return replace(base, app=_APP, worker=tuple(_APP if each == base.app else each for each in base.worker))


def run_on_sqlite(folder: Path, plan: Plan) -> Verdict:
    """Carry out `plan` in `folder` on SQLite.

    Raises:
        RuntimeError: a worker ended by itself.
    """
    database = f"sqlite:///{folder / 'chaos.sqlite3'}"
    return _run(Scene(folder, system(), database, plan.lease_seconds, backend=None), plan, None)


def run_on_redis(folder: Path, plan: Plan) -> Verdict:
    """The same on a Redis server of its own that writes every command to the disk before it answers.

    Raises:
        RuntimeError: there is no server, or a worker ended by itself.
    """
    with RedisServer(folder, fsync="always", absence=plan.absence, paused=plan.paused) as server:
        verdict = _run(Scene(folder, system(), server.url, plan.lease_seconds, backend=None), plan, server)
        return replace(verdict, left_in_store=server.left_of_chords())


def run_on_rabbitmq(folder: Path, plan: Plan, base: System = CELERIAC) -> Verdict:
    """The same on a RabbitMQ node of its own.

    Raises:
        RuntimeError: there is no server, or a worker ended by itself.
    """
    with RabbitServer(folder, absence=plan.absence, paused=plan.paused) as server:
        results = f"sqlite:///{folder / 'results.sqlite3'}"
        scene = Scene(folder, system(base), server.url, plan.lease_seconds, backend=results)
        judging = partial(tasks_verdict.judge, connection_is_lease=True, unsaved=UNSAVED[base.queue_type])
        return _run(scene, plan, server, judging, one_store=False)


class _WorkflowFeed(Feed):
    """Publishes workflows; `left` counts tasks."""

    def left(self) -> int:
        """Tasks that must run and have not had their effect."""
        return len(running(plan_of(range(self.published))) - journal.ended(self.journal))


def _disturb(plan: Plan, feed: Feed, fleet: Fleet, server: Server | None) -> tuple[list[Kill], list[Outage]]:
    """Send all in parts, and after each do one of what is planned, while it is under way."""
    chance = random.Random(plan.seed)
    events: list[What | None] = [*plan.outages, *[None] * plan.kills]
    chance.shuffle(events)
    kills: list[Kill] = []
    outages: list[Outage] = []

    def kill() -> None:
        kills.append(fleet.kill(random.Random(plan.seed * 1000 + len(kills))))

    for done, what in enumerate(events):
        feed.send((plan.workflows - feed.published) // (len(events) - done))
        time.sleep(chance.uniform(0, 2 * plan.interval))
        fleet.check()
        if what is None:
            kill()
        else:
            assert server is not None
            outages.append(server.disturb(what, meanwhile=kill))
    return kills, outages


def _run(
    scene: Scene,
    plan: Plan,
    server: Server | None,
    judge_tasks: Callable[[int, list[Run], list[Kill], Sequence[Outage]], tasks_verdict.Verdict] = tasks_verdict.judge,
    *,
    one_store: bool = True,
) -> Verdict:
    began = time.monotonic()
    with ExitStack() as stack:
        feed = stack.enter_context(_WorkflowFeed(scene, plan.task_seconds))
        fleet = stack.enter_context(Fleet(scene, plan.workers))
        kills, outages = _disturb(plan, feed, fleet, server)
        ended = time.monotonic()
        wait_for(fleet, feed, 0, ended + 2 * plan.lease_seconds + _RECOVERY)
        # What runs a second time does so when the lease of its dead worker has run out: see that, too.
        time.sleep(max(0.0, ended + plan.lease_seconds + 4 - time.monotonic()))
        fleet.check()
        keep_events(scene.folder, kills, outages)
        runs = journal.read(feed.journal)
        left_over = len(fleet.stop())
        sent = range(feed.published)
        missing = running(plan_of(sent)) - journal.ended(feed.journal)
        kept = kept_of(missing, server, scene) if server else set[int]()
    verdict = judge(sent, runs, kills, outages, results_of(scene, sent), judge_tasks, one_store=one_store)
    tasks = replace(
        verdict.tasks,
        kept=len(kept),
        dead_letters=dead_letters(scene),
        left_over=left_over,
        left_in_broker=server.left_over() if server else [],
        ended=fleet.restarted,
    )
    return replace(verdict, tasks=tasks, seconds=time.monotonic() - began)


def results_of(scene: Scene, workflows: range) -> dict[int, Result]:
    """What is stored of the tasks of these workflows, by number."""
    found: dict[int, Result] = {}
    with scene.app() as app:
        for number, one in plan_of(workflows).items():
            if not one.is_errback:
                result = app.AsyncResult(task_id(number))
                come_to = result.result
                state = result.state
                found[number] = (state, type(come_to).__name__ if isinstance(come_to, Exception) else come_to)
    return found
