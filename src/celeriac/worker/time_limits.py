"""Soft and hard time limits of running attempts, on every kind of executor.

Soft: an exception inside the task, which may clean up. Hard: a process is killed; a thread or coroutine gets an
exception, and when that does not end it in time its executor is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from celeriac.worker.executors.executor import Assignment, Executor
from celeriac.worker.executors.launcher import Launcher
from celeriac.worker.executors.pool import Pool

logger = logging.getLogger("celeriac.worker")


#: How long a process is held before it is killed, so that what it had sent can be read: it may have ended its task.
_HOLD_SECONDS: Final = 0.005


class LimitEvents(Protocol):
    """What hard limits cause; `limit` is in seconds."""

    def on_timed_out(self, assignment: Assignment, limit: float) -> None:
        """The limit has passed: the attempt has failed, whatever it still does."""
        ...

    def on_ended_by_force(self, assignment: Assignment, limit: float) -> None:
        """It did not end by itself, so that its executor can not tell anybody."""
        ...


class TimeLimits:
    """Timers of the attempts that have limits.

    Args:
        pools: by kind, to replace an executor that does not let go.
        launcher: kills processes.
        grace: seconds that a thread or coroutine may take to end after its hard limit.
        events: told when a hard limit has passed.
    """

    def __init__(
        self,
        pools: dict[str, Pool],
        launcher: Launcher,
        grace: float,
        events: LimitEvents,
    ) -> None:
        self._pools = pools
        self._launcher = launcher
        self._grace = grace
        self._events = events
        self._timers: dict[int, list[asyncio.TimerHandle]] = {}
        self._held: dict[int, int] = {}  # job tag -> process

    def begin(self, executor: Executor, assignment: Assignment) -> None:
        """The attempt has begun: wind up its timers."""
        job = assignment.job
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []
        if job.soft_time_limit is not None:
            timers.append(loop.call_later(job.soft_time_limit, self._soft, executor, assignment, job.soft_time_limit))
        if job.time_limit is not None:
            timers.append(loop.call_later(job.time_limit, self._hard, executor, assignment, job.time_limit))
        if timers:
            self._timers[job.tag] = timers

    def end(self, assignment: Assignment) -> None:
        """The attempt has an outcome: stop its timers."""
        tag = assignment.job.tag
        for timer in self._timers.pop(tag, ()):
            timer.cancel()
        held = self._held.pop(tag, None)
        if held is not None:
            self._launcher.let_go(held)

    def stop(self) -> None:
        """Stop all timers."""
        for timers in self._timers.values():
            for timer in timers:
                timer.cancel()
        self._timers.clear()

    def _soft(self, executor: Executor, assignment: Assignment, limit: float) -> None:
        logger.warning("Soft time limit (%ss) exceeded for %s", limit, assignment.delivery.label)
        executor.interrupt(assignment.job.tag, hard=False, limit=limit)

    def _hard(self, executor: Executor, assignment: Assignment, limit: float) -> None:
        """Hold the process first: its end, or the next attempt's begin, may be on the way here."""
        pid = executor.pid
        if executor.setup.kind == "process" and pid is not None and self._launcher.hold(pid):
            loop = asyncio.get_running_loop()
            timer = loop.call_later(_HOLD_SECONDS, self._end, executor, assignment, limit)
            self._timers.setdefault(assignment.job.tag, []).append(timer)
            self._held[assignment.job.tag] = pid
        else:
            self._end(executor, assignment, limit)

    def _end(self, executor: Executor, assignment: Assignment, limit: float) -> None:
        tag = assignment.job.tag
        executor.read_rest()
        if executor.abandon(tag) is None:
            return  # it had ended, as `end` knows by now
        self._held.pop(tag, None)
        logger.error("Hard time limit (%ss) exceeded for %s", limit, assignment.delivery.label)
        self.end(assignment)
        self._events.on_timed_out(assignment, limit)
        if executor.setup.kind == "process" and executor.pid is not None:
            self._launcher.kill(executor.pid)
        executor.interrupt(tag, hard=True, limit=limit)
        asyncio.get_running_loop().call_later(self._grace, self._replace_if_stuck, executor, assignment, limit)

    def _replace_if_stuck(self, executor: Executor, assignment: Assignment, limit: float) -> None:
        if assignment.job.tag not in executor.overdue:
            return  # it has ended by the exception, and its executor has told who listens
        self._events.on_ended_by_force(assignment, limit)
        if not executor.ended:
            logger.warning("Replacing %s: a task does not end at its hard time limit", executor.name)
            self._pools[executor.setup.kind].retire(executor)
