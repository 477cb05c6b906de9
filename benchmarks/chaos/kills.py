"""Kill children and workers at random while tasks run, then compare what ran with what should have run."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.chaos import journal
from benchmarks.chaos.app import HOLD, build
from benchmarks.chaos.fleet import Fleet, Kill
from benchmarks.chaos.journal import Run
from celeriac import Celeriac

#: A task that ended so shortly before a kill (seconds) may not have been acknowledged yet, and may run again.
_UNSETTLED: Final = 0.05


@dataclass(frozen=True)
class Plan:
    """How much, how long, how often.

    Attributes:
        tasks: published at the start; more follow as long as kills are to come, so that every kill hits work.
        task_seconds: how long each takes.
        kills: how many.
        interval: seconds between kills.
        workers: how many, of two processes each.
        lease_seconds: the setting `worker_lease_seconds`.
        seed: of the choice of victims.
    """

    tasks: int = 1_000
    task_seconds: float = 0.05
    kills: int = 10
    interval: float = 2.0
    workers: int = 2
    lease_seconds: float = 10.0
    seed: int = 1


@dataclass(frozen=True)
class Verdict:
    """What became of the tasks.

    Attributes:
        tasks: published.
        missing: without their effect.
        kills: of children, of workers.
        second_runs: starts beyond the first of each task.
        running_at_kills: runs that a kill hit before they had ended.
        ended_at_kills: runs of the same processes that had ended less than 50 ms before.
        unexplained: second runs of tasks that no kill had hit.
        slowest_recovery: seconds from a kill to the new start of its slowest victim.
        dead_letters: messages that were given up.
        left_over: processes that outlived their worker by more than 5 s.
        seconds: the whole run.
    """

    tasks: int
    missing: int
    kills: dict[str, int]
    second_runs: int
    running_at_kills: int
    ended_at_kills: int
    unexplained: int
    slowest_recovery: float
    dead_letters: int
    left_over: int
    seconds: float


def _hit(run: Run, kill: Kill) -> bool:
    """The kill may have prevented that this run was finished, or that it was acknowledged."""
    if run.pid not in kill.pids or run.started > kill.after:
        return False
    return run.ended is None or run.ended > kill.before - int(_UNSETTLED * 1e9)


def judge(tasks: int, runs: list[Run], kills: list[Kill]) -> Verdict:
    """Compare the journal with the list of kills. Fields the journal can not know are zero."""
    starts = Counter(run.number for run in runs)
    hits = [(run, kill) for kill in kills for run in runs if _hit(run, kill)]
    exposed = Counter(run.number for run, _ in hits)
    recoveries = [
        min(again) - kill.before
        for run, kill in hits
        if (again := [other.started for other in runs if other.number == run.number and other.started > run.started])
    ]
    return Verdict(
        tasks=tasks,
        missing=tasks - len({run.number for run in runs if run.ended is not None}),
        kills=dict(Counter(kill.what for kill in kills)),
        second_runs=sum(count - 1 for count in starts.values()),
        running_at_kills=sum(run.ended is None or run.ended > kill.before for run, kill in hits),
        ended_at_kills=sum(run.ended is not None and run.ended <= kill.before for run, kill in hits),
        unexplained=sum(max(0, count - 1 - exposed[number]) for number, count in starts.items()),
        slowest_recovery=max(recoveries, default=0) / 1e9,
        dead_letters=0,
        left_over=0,
        seconds=0.0,
    )


class _Feed:
    """Publishes numbered tasks, and more of them while kills are still to come."""

    def __init__(self, app: Celeriac, folder: Path, seconds: float) -> None:
        self._hold = app.tasks[HOLD]
        self._journal = folder / "journal"
        self._seconds = seconds
        self.published = 0

    def send(self, count: int) -> None:
        self._hold.delay_many((self.published + index, self._seconds) for index in range(count))
        self.published += count

    def left(self) -> int:
        return self.published - len(journal.ended(self._journal))


def _wait_for(fleet: Fleet, feed: _Feed, most_left: int, until: float) -> None:
    while feed.left() > most_left and time.monotonic() < until:
        fleet.check()
        time.sleep(0.05)


def _kill_all(fleet: Fleet, feed: _Feed, plan: Plan) -> list[Kill]:
    chance = random.Random(plan.seed)
    kills: list[Kill] = []
    for _ in range(plan.kills):
        if feed.left() < plan.tasks // 5:
            feed.send(plan.tasks // 5)
        time.sleep(plan.interval)
        fleet.check()
        kills.append(fleet.kill(chance))
    return kills


def run(folder: Path, plan: Plan) -> Verdict:
    """Carry out `plan` in `folder`.

    Raises:
        RuntimeError: a worker ended by itself.
    """
    began = time.monotonic()
    app = build(folder, lease_seconds=plan.lease_seconds, max_deliveries=20)
    feed = _Feed(app, folder, plan.task_seconds)
    feed.send(plan.tasks)
    fleet = Fleet(folder, plan.workers, lease_seconds=plan.lease_seconds, max_deliveries=20)
    try:
        _wait_for(fleet, feed, plan.tasks - 1, time.monotonic() + 20)
        kills = _kill_all(fleet, feed, plan)
        last_kill = time.monotonic()
        _wait_for(fleet, feed, 0, last_kill + plan.lease_seconds + 40)
        # A task whose acknowledgement was lost runs again when its worker's lease has run out: see that, too.
        time.sleep(max(0.0, last_kill + plan.lease_seconds + 4 - time.monotonic()))
        left_over = len(fleet.stop())
    except BaseException:
        fleet.abandon()
        raise
    verdict = judge(feed.published, journal.read(folder / "journal"), kills)
    letters = asyncio.run(app.broker.dead_letters())
    return replace(verdict, dead_letters=len(letters), left_over=left_over, seconds=time.monotonic() - began)
