"""The judgement: what the journal says against what was done to workers and server. Knows no task queue."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.chaos.fleet import Kill
    from benchmarks.chaos.journal import Run
    from benchmarks.chaos.outage import Outage

#: A task that ended so shortly before a kill (seconds) may not have been acknowledged yet, and may run again.
_UNSETTLED: Final = 0.05
#: A worker is back when it has started so many more tasks: more than it can have held when the server went.
BACK_AFTER: Final = 10
#: Outages during which nothing can be written.
_SILENT: Final = frozenset(("restart", "orderly restart", "absence", "pause"))
#: A worker may start what it holds until it has noticed that its connection is gone (seconds).
_UNNOTICED: Final = 0.1
#: So long after its return (seconds) a server may need half a second and more to confirm a message.
_RECOVERING: Final = 2.0
#: Those that begin with a SIGKILL.
_KILLED: Final = frozenset(("restart", "absence"))
#: Outages that end connections; a pause does when heartbeats are missed.
CUTTING: Final = _SILENT | {"hang up"}


@dataclass(frozen=True)
class Victims:
    """Runs that kills of one kind cut short while the server was there until they ran again.

    Attributes:
        hit: how many there were.
        again: how many of their tasks were started again.
        typical: median of the seconds from the kill to the new start; None when there was none.
        slowest: the greatest.
    """

    hit: int
    again: int
    typical: float | None
    slowest: float | None


@dataclass(frozen=True)
class Verdict:
    """What became of the tasks.

    Attributes:
        tasks: published.
        missing: without their effect.
        kept: of those, how many the broker still had a message of.
        kills: of children, of workers.
        second_runs: starts beyond the first of each task.
        running_at_kills: runs that a kill hit before they had ended.
        ended_at_kills: runs of the same processes that had ended less than 50 ms before; where a worker was killed
            while it had no server to write to, also those that had ended since the server went.
        lost_connections: second runs of tasks that another worker was given because the connection of the first one was
            lost while it ran them, or so shortly after that the server had not heard of their end, or not saved it.
            Only where the connection is the lease.
        unexplained: second runs of tasks that nothing of this had hit.
        slowest_recovery: seconds from a kill to the new start of its slowest victim, the server being there meanwhile.
        of_children: runs that kills of children cut short.
        of_workers: runs that kills of workers cut short.
        slowest_after_outage: for victims between whose kill and new start the server was away: seconds from its return
            to the new start.
        outages: of the server.
        back: by outage, seconds from the server's return until the slowest worker had started ten more tasks.
        dead_letters: messages that were given up.
        unstored: tasks with their effect, but without a stored result, where results are stored.
        left_over: processes that outlived their worker by more than 5 s.
        left_in_broker: what nobody owns, after all workers had ended: keys in Redis without a time to live,
            messages and queues in RabbitMQ.
        ended: workers that ended though nobody had killed them.
        seconds: the whole run.
    """

    tasks: int
    missing: int
    kills: dict[str, int]
    second_runs: int
    running_at_kills: int
    ended_at_kills: int
    lost_connections: int
    unexplained: int
    slowest_recovery: float
    of_children: Victims
    of_workers: Victims
    slowest_after_outage: float
    outages: dict[str, int] = field(default_factory=dict)
    back: dict[str, float] = field(default_factory=dict)
    kept: int = 0
    dead_letters: int = 0
    unstored: int = 0
    left_over: int = 0
    left_in_broker: list[str] = field(default_factory=list)
    ended: int = 0
    seconds: float = 0.0

    def faults(self, lease_seconds: float) -> list[str]:
        """What Celeriac promises and has not kept; empty when all is well."""
        bound = lease_seconds + 5
        checks = {
            f"{self.missing} tasks are missing": self.missing,
            f"{self.dead_letters} dead letters": self.dead_letters,
            f"{self.unexplained} second runs without a kill": self.unexplained,
            f"recovery took {self.slowest_recovery:.1f} s": self.slowest_recovery > bound,
            f"recovery took {self.slowest_after_outage:.1f} s after an outage": self.slowest_after_outage > bound,
            f"back only after {self.back}": any(seconds > 5 for seconds in self.back.values()),
            f"{self.unstored} results are missing": self.unstored,
            f"{self.left_over} processes are left": self.left_over,
            f"left in the broker: {self.left_in_broker}": self.left_in_broker,
            f"{self.ended} workers ended by themselves": self.ended,
        }
        return [text for text, is_wrong in checks.items() if is_wrong]


@dataclass(frozen=True)
class _Victim:
    """A run that a kill hit; when its task was started again (ns), and the server's last outage meanwhile."""

    run: Run
    kill: Kill
    again: int | None
    outage: Outage | None

    def seconds(self) -> float | None:
        """From the kill to the new start."""
        return None if self.again is None else (self.again - self.kill.before) / 1e9


def judge(
    tasks: int,
    runs: list[Run],
    kills: list[Kill],
    outages: Sequence[Outage] = (),
    *,
    connection_is_lease: bool = False,
    unsaved: float = 0.0,
) -> Verdict:
    """Compare the journal with the lists of kills and outages. What the journal can not know is left at zero.

    Args:
        tasks: how many were published.
        runs: the journal.
        kills: in their order.
        outages: in their order.
        connection_is_lease: who loses its connection loses its tasks to whoever comes first.
        unsaved: seconds for which a server that is killed may not have saved an acknowledgement.
    """
    starts = Counter(run.number for run in runs)
    hits = [_victim(run, kill, runs, outages) for kill in kills for run in runs if _hit(run, kill, outages)]
    exposed = Counter(one.run.number for one in hits)
    quiet = [one for one in hits if one.outage is None]
    late = [(one.again - one.outage.after) / 1e9 for one in hits if one.outage is not None and one.again is not None]
    moved = Counter(_moved(runs, outages, unsaved) if connection_is_lease else ())
    unexplained = {number: count - 1 - exposed[number] for number, count in starts.items()}
    running = sum(one.run.ended is None or one.run.ended > one.kill.before for one in hits)
    return Verdict(
        tasks=tasks,
        missing=len(missing(tasks, runs)),
        kills=dict(Counter(kill.what for kill in kills)),
        second_runs=sum(count - 1 for count in starts.values()),
        running_at_kills=running,
        ended_at_kills=len(hits) - running,
        lost_connections=sum(min(max(0, more), moved[number]) for number, more in unexplained.items()),
        unexplained=sum(max(0, more - moved[number]) for number, more in unexplained.items()),
        slowest_recovery=max((seconds for one in quiet if (seconds := one.seconds()) is not None), default=0.0),
        of_children=_victims([one for one in quiet if one.kill.what == "child"]),
        of_workers=_victims([one for one in quiet if one.kill.what == "worker"]),
        slowest_after_outage=max(late, default=0.0),
        outages=dict(Counter(one.what for one in outages)),
        back=_back(runs, outages),
    )


def missing(tasks: int, runs: list[Run]) -> set[int]:
    """The tasks without their effect."""
    return set(range(tasks)) - {run.number for run in runs if run.ended is not None}


def came_back(runs: list[Run], outage: Outage, worker: int) -> float | None:
    """Seconds from the end of `outage` until `worker` was back; None: it is not yet."""
    starts = sorted(run.started for run in runs if run.worker == worker and run.started > outage.after)
    return (starts[BACK_AFTER - 1] - outage.after) / 1e9 if len(starts) >= BACK_AFTER else None


def _back(runs: list[Run], outages: Sequence[Outage]) -> dict[str, float]:
    slowest: dict[str, float] = {}
    for outage in outages:
        for worker in {run.worker for run in runs}:
            seconds = came_back(runs, outage, worker)
            if seconds is not None:
                slowest[outage.what] = max(seconds, slowest.get(outage.what, 0.0))
    return slowest


def _hit(run: Run, kill: Kill, outages: Sequence[Outage]) -> bool:
    """The kill may have prevented that this run was finished, or that it was acknowledged."""
    if run.pid not in kill.pids or run.started > kill.after:
        return False
    return run.ended is None or run.ended > _unsettled_since(kill, outages)


def _unsettled_since(kill: Kill, outages: Sequence[Outage]) -> int:
    """What ended since then may not have been acknowledged (ns).

    A worker that dies while the server is away had to wait with it. When only a process of it dies, the worker still
    acknowledges what had ended there.
    """
    away = [
        one.before
        for one in outages
        if kill.what == "worker" and one.what in _SILENT and one.before < kill.after and kill.before < one.after
    ]
    return min([kill.before, *away]) - int(_UNSETTLED * 1e9)


def _moved(runs: list[Run], outages: Sequence[Outage], unsaved: float) -> list[int]:
    """The tasks of runs during which the connection was lost; each as often as that happened to it."""
    cuts = [one for one in outages if one.what in CUTTING]
    unsettled = [(cut, _unsettled_before(cut, outages, unsaved)) for cut in cuts]
    return [
        run.number
        for run in runs
        for cut, since in unsettled
        if _was_cut(run, cut, since) and _went_elsewhere(run, runs)
    ]


def _unsettled_before(cut: Outage, outages: Sequence[Outage], unsaved: float) -> int:
    """What ended since then may not have been acknowledged, or not saved, when connections were cut (ns)."""
    doubtful = max(_UNSETTLED, unsaved) if cut.what in _KILLED else _UNSETTLED
    # A server that has just come back confirms slowly, and acknowledgements wait for what is published before them.
    slow = [one.after for one in outages if one.what in _SILENT and 0 < cut.before - one.after < int(_RECOVERING * 1e9)]
    return min([cut.before - int(doubtful * 1e9), *slow])


def _was_cut(run: Run, cut: Outage, unsettled: int) -> bool:
    """It may have been in hand when the connection ended, or its acknowledgement may have been lost."""
    noticed = cut.after + int(_UNNOTICED * 1e9)
    return run.started < noticed and (run.ended is None or run.ended > unsettled)


def _went_elsewhere(run: Run, runs: list[Run]) -> bool:
    """Not to a process of the worker that has it: that one knows better than to run it again."""
    later = [other for other in runs if other.number == run.number and other.started > run.started]
    return bool(later) and min(later, key=lambda other: other.started).worker != run.worker


def _victim(run: Run, kill: Kill, runs: list[Run], outages: Sequence[Outage]) -> _Victim:
    again = min(
        (other.started for other in runs if other.number == run.number and other.started > run.started), default=None
    )
    meanwhile = [
        one
        for one in outages
        if one.what in _SILENT and one.after > kill.before and (again is None or one.before < again)
    ]
    return _Victim(run, kill, again, max(meanwhile, key=lambda one: one.after, default=None))


def _victims(hits: list[_Victim]) -> Victims:
    """Of those whose run did not come to its end."""
    cut = [one for one in hits if one.run.ended is None]
    seconds = [each for one in cut if (each := one.seconds()) is not None]
    return Victims(
        len(cut), len(seconds), statistics.median(seconds) if seconds else None, max(seconds) if seconds else None
    )
