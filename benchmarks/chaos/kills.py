"""Kill children and workers at random while tasks run, then compare what ran with what should have run."""

from __future__ import annotations

import asyncio
import json
import operator
import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.chaos import journal
from benchmarks.chaos.feed import Feed
from benchmarks.chaos.fleet import Fleet, Kill
from benchmarks.chaos.rabbit import RabbitServer
from benchmarks.chaos.server import RedisServer
from benchmarks.chaos.systems import CELERIAC, Scene, System
from benchmarks.chaos.verdict import Verdict, judge, missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.chaos.outage import Outage, Server

#: Seconds that a message may need to be run again beyond the lease of the worker that had it.
_RECOVERY: Final = 40.0


@dataclass(frozen=True)
class Plan:
    """How much, how long, how often.

    Attributes:
        tasks: how many in all.
        backlog: of those, published at the start. The others follow in equal parts before each kill, so that every kill
            hits work, and that what is run again has not to wait behind a long queue.
        task_seconds: how long each takes.
        kills: how many.
        interval: seconds between kills.
        workers: how many, of two processes each.
        lease_seconds: Celeriac's setting `worker_lease_seconds`.
        seed: of the choice of victims.
        watch: seconds from the last kill to the judgement, whatever happens; None: until all tasks have their effect,
            and until a lease that ended with the last kill has run out.
    """

    tasks: int = 1_500
    backlog: int = 200
    task_seconds: float = 0.05
    kills: int = 10
    interval: float = 2.0
    workers: int = 2
    lease_seconds: float = 10.0
    seed: int = 1
    watch: float | None = None


def run_on_sqlite(folder: Path, plan: Plan) -> Verdict:
    """Carry out `plan` in `folder` with Celeriac on SQLite.

    Raises:
        RuntimeError: a worker ended by itself.
    """
    return _run(Scene(folder, CELERIAC, f"sqlite:///{folder / 'chaos.sqlite3'}", plan.lease_seconds), plan, None)


def run_on_redis(folder: Path, plan: Plan, system: System = CELERIAC) -> Verdict:
    """The same on a Redis server of its own, for any system.

    Raises:
        RuntimeError: there is no server, or a worker ended by itself that must not.
    """
    with RedisServer(folder, fsync="everysec") as server:
        return _run(Scene(folder, system, server.url, plan.lease_seconds), plan, server)


def run_on_rabbitmq(folder: Path, plan: Plan, system: System = CELERIAC) -> Verdict:
    """The same on a RabbitMQ node of its own, whose default for queues is the classic type.

    Raises:
        RuntimeError: there is no server, or a worker ended by itself that must not.
    """
    with RabbitServer(folder) as server:
        return _run(Scene(folder, system, server.url, plan.lease_seconds), plan, server)


def wait_for(fleet: Fleet, feed: Feed, most_left: int, until: float) -> None:
    """Wait until at most `most_left` tasks are without their effect."""
    while feed.left() > most_left and time.monotonic() < until:
        fleet.check()
        time.sleep(0.05)


def dead_letters(scene: Scene) -> int:
    """How many there are in Celeriac's broker."""
    if scene.system.distribution != CELERIAC.distribution:
        return 0
    with scene.app() as app:
        return len(asyncio.run(app.broker.dead_letters()))


def _kill_all(fleet: Fleet, feed: Feed, plan: Plan) -> list[Kill]:
    kills: list[Kill] = []
    for number in range(plan.kills):
        feed.send((plan.tasks - feed.published) // (plan.kills - number))
        time.sleep(plan.interval)
        fleet.check()
        # Drawn anew for each, so that systems with different numbers of processes see the same kinds of kills.
        kills.append(fleet.kill(random.Random(plan.seed * 1000 + number)))
    return kills


def _settle_down(fleet: Fleet, feed: Feed, plan: Plan) -> None:
    last_kill = time.monotonic()
    if plan.watch is None:
        wait_for(fleet, feed, 0, last_kill + plan.lease_seconds + _RECOVERY)
    # A task whose acknowledgement was lost runs again when its worker's lease has run out: see that, too.
    end = last_kill + (plan.lease_seconds + 4 if plan.watch is None else plan.watch)
    while time.monotonic() < end:
        fleet.check()
        time.sleep(0.2)


def keep_events(folder: Path, kills: Sequence[Kill], outages: Sequence[Outage] = ()) -> None:
    """Write beside the journal what was done, for whoever looks into a fault."""
    events: list[dict[str, Any]] = [
        *({"what": one.what, "before": one.before, "after": one.after, "pids": sorted(one.pids)} for one in kills),
        *({"what": one.what, "before": one.before, "after": one.after} for one in outages),
    ]
    lines = (json.dumps(event) for event in sorted(events, key=operator.itemgetter("before")))
    (folder / "events").write_text("".join(f"{line}\n" for line in lines))


def kept_of(absent: set[int], server: Server, scene: Scene) -> set[int]:
    """Those of `absent` that were not lost: the broker has their message, or they ran while the workers were ended."""
    return absent & (server.numbers() | journal.ended(scene.folder / "journal"))


def _run(scene: Scene, plan: Plan, server: Server | None) -> Verdict:
    began = time.monotonic()
    with ExitStack() as stack:
        feed = stack.enter_context(Feed(scene, plan.task_seconds))
        feed.send(plan.backlog)
        fleet = stack.enter_context(Fleet(scene, plan.workers))
        wait_for(fleet, feed, plan.backlog - 1, time.monotonic() + 30)
        kills = _kill_all(fleet, feed, plan)
        _settle_down(fleet, feed, plan)
        keep_events(scene.folder, kills)
        runs = journal.read(scene.folder / "journal")
        left_over = len(fleet.stop())
        kept = kept_of(missing(feed.published, runs), server, scene) if server else set[int]()
    return replace(
        judge(feed.published, runs, kills),
        kept=len(kept),
        dead_letters=dead_letters(scene),
        left_over=left_over,
        left_in_broker=server.left_over() if server else [],
        ended=fleet.restarted,
        seconds=time.monotonic() - began,
    )
