"""Gives deliveries to executors, and takes up what becomes of them.

Owns the pools and the backlog between broker and executors. Knows nothing of the broker: how much more is wanted is
asked by the consumer, and outcomes go to `Outcomes`.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from celeriac.outcome import Outcome
from celeriac.worker.executors.executor import Assignment, Executor
from celeriac.worker.executors.launcher import Launcher, describe_status
from celeriac.worker.executors.pool import Pool

logger = logging.getLogger("celeriac.worker")

#: Seconds between looks after stalled executors and a backlog that does not move.
TICK_SECONDS: Final = 0.05
#: Deliveries that found no executor for so many seconds go back to the broker: another worker may have room. If they
#: come back here, nobody had, and they are kept longer each time.
_BACKLOG_SECONDS: Final = 1.0
_LONGEST_BACKLOG_SECONDS: Final = 4.0
#: Deliveries that may wait here for a busy kind of executor while another kind has room.
_BACKLOG_LIMIT: Final = 8
#: With several kinds nobody knows which kind comes next: no more are taken than this, at first. Each trip of which
#: nothing had to wait doubles it.
_WIDEST_WINDOW: Final = 1024


class Outcomes(Protocol):
    """Where the dispatcher tells what became of assignments."""

    def on_started(self, executor: Executor, assignment: Assignment) -> None:
        """An attempt that is to be announced has begun."""
        ...

    def on_finished(self, ended: Sequence[tuple[Assignment, Outcome]]) -> None:
        """Attempts have ended by themselves."""
        ...

    def on_lost(self, assignment: Assignment, reason: str) -> None:
        """The executor ended in the middle of this attempt."""
        ...

    def on_unwanted(self, assignments: Sequence[Assignment]) -> None:
        """No executor has room for these; give them back to the broker."""
        ...

    def on_untold(self, assignment: Assignment, error: Exception) -> None:
        """This can not be told to any executor."""
        ...


class Dispatcher:
    """Assigns deliveries to executors by kind and load.

    Args:
        pools: by kind; filled by the supervisor before the first delivery.
        launcher: to learn how executors ended.
        outcomes: told what becomes of assignments.
    """

    def __init__(self, pools: dict[str, Pool], launcher: Launcher, outcomes: Outcomes) -> None:
        self.pools = pools
        #: Set whenever `demand` may have grown.
        self.wanted = asyncio.Event()
        self._launcher = launcher
        self._outcomes = outcomes
        self._backlog: defaultdict[str, deque[Assignment]] = defaultdict(deque)
        self._waiting_since: dict[str, float] = {}
        self._patience: defaultdict[str, float] = defaultdict(lambda: _BACKLOG_SECONDS)
        self._window = _BACKLOG_LIMIT
        self._stopping = self._keeps_room = False
        self._abandoned = False
        self._all_ended = asyncio.Event()
        launcher.on_exit = self._on_exit
        self._reports: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """Assignments that have no outcome yet."""
        held = sum(len(executor.assigned) for executor in self._executors())
        return held + sum(len(backlog) for backlog in self._backlog.values()) + len(self._reports)

    @property
    def has_room(self) -> bool:
        """What is submitted now runs soon: nothing waits, and an executor has room, or none was needed yet."""
        if any(self._backlog.values()):
            return False
        executors = list(self._executors())
        return not executors or any(executor.capacity > 0 for executor in executors)

    def keep_room(self, wanted: bool) -> None:
        """Leave one place free for what is submitted from elsewhere, or do so no more."""
        if self._keeps_room and not wanted:
            self.wanted.set()
        self._keeps_room = wanted

    def demand(self) -> int:
        """How many more deliveries are wanted now."""
        if self._stopping:
            return 0
        return max(0, self._demand() - 1) if self._keeps_room else self._demand()

    def _demand(self) -> int:
        waiting = sum(len(backlog) for backlog in self._backlog.values())
        if waiting:
            return max(0, _BACKLOG_LIMIT - waiting) if any(e.hungry for e in self._executors()) else 0
        if not any(executor.hungry for executor in self._executors()):
            return 0
        room = [sum(executor.capacity for executor in pool.executors) for pool in self.pools.values() if pool.started]
        return sum(room) if len(room) == 1 else min(sum(room), self._window)

    def submit(self, assignments: Iterable[Assignment]) -> None:
        """Run these as soon as there is room, in this order."""
        kinds = set()
        for assignment in assignments:
            self._backlog[assignment.kind].append(assignment)
            kinds.add(assignment.kind)
        for kind in kinds:
            self._pump(kind)
        waits = any(self._backlog[kind] for kind in kinds)
        self._window = _BACKLOG_LIMIT if waits else min(2 * self._window, _WIDEST_WINDOW)

    def tick(self, now: float) -> bool:
        """Look after stalled executors, and give back what waits for none that has room.

        Returns:
            Whether something was given back, for other workers to take.
        """
        gave_back = False
        for pool in self.pools.values():
            pool.tick()
        for kind, backlog in self._backlog.items():
            if not backlog:
                self._waiting_since.pop(kind, None)
            elif now - self._waiting_since.setdefault(kind, now) > self._patience[kind]:
                del self._waiting_since[kind]
                self._patience[kind] = min(2 * self._patience[kind], _LONGEST_BACKLOG_SECONDS)
                self._give_back(kind)
                gave_back = True
        return gave_back

    def stop(self) -> None:
        """Take nothing more; give back what has not begun; let executors end after what runs."""
        self._stopping = True
        for kind, pool in self.pools.items():
            pool.stop()
            self._give_back(kind)
        self.wanted.set()

    async def wait_ended(self, patience: float) -> None:
        """Wait until all executors have left by themselves, `patience` seconds at most. To be called after `stop`."""
        if any(pool.executors for pool in self.pools.values()):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_ended.wait(), patience)

    async def abandon(self, patience: float) -> None:
        """End all executors at once; what they run is neither counted nor reported.

        Args:
            patience: seconds to wait for what they had still sent.
        """
        self._abandoned = True
        for pool in self.pools.values():
            pool.kill_executors()
        await self.wait_ended(patience)  # in vain for one that is not ready: its process is not known yet
        for pool in self.pools.values():
            pool.hang_up()

    # -- events of executors -----------------------------------------------------------------------

    def on_started(self, executor: Executor, assignment: Assignment) -> None:
        self._outcomes.on_started(executor, assignment)

    def on_done(self, executor: Executor, ended: list[tuple[Assignment, Outcome]]) -> None:
        self._outcomes.on_finished(ended)
        self._has_room(executor)

    def on_returned(self, executor: Executor, assignments: list[Assignment]) -> None:
        self._requeue(assignments)
        self._has_room(executor)

    def on_capacity(self, executor: Executor) -> None:
        self._has_room(executor)

    def on_lost(self, executor: Executor) -> None:
        running, waiting = executor.running, list(executor.assigned.values())[len(executor.running) :]
        executor.assigned.clear()
        self.pools[executor.setup.kind].ended(executor)
        if self._stopping and not any(pool.executors for pool in self.pools.values()):
            self._all_ended.set()
        self._requeue(waiting)
        if self._abandoned:
            # What ran is given back with the lease, but for what had left its queue before it ran.
            for assignment in running:
                if not assignment.policy.acks_late:
                    self._outcomes.on_lost(assignment, "its worker was stopped")
        elif running or not self._stopping:
            report = asyncio.get_running_loop().create_task(self._report_lost(executor, running))
            self._reports.add(report)
            report.add_done_callback(self._reports.discard)

    async def _report_lost(self, executor: Executor, running: list[Assignment]) -> None:
        status = await self._launcher.exit_status(executor.pid) if executor.pid is not None else None
        if not running and (executor.overdue or executor.retiring):
            return  # it was ended on purpose, or has left as it was told to
        reason = f"{executor.name} {describe_status(status)}"
        logger.error("The %s", reason)
        for assignment in running:
            self._outcomes.on_lost(assignment, reason)

    def _on_exit(self, pid: int) -> None:
        for pool in self.pools.values():
            pool.on_exit(pid)

    # -- the backlog -------------------------------------------------------------------------------

    def _executors(self) -> Iterable[Executor]:
        for pool in self.pools.values():
            yield from pool.executors

    def _has_room(self, executor: Executor) -> None:
        if self._backlog[executor.setup.kind]:
            self._pump(executor.setup.kind)
        if executor.hungry:
            self.wanted.set()

    def _requeue(self, assignments: list[Assignment]) -> None:
        """They still hold their lease: another executor can have them without a trip to the broker."""
        if not assignments:
            return
        kind = assignments[0].kind
        self._backlog[kind].extendleft(reversed(assignments))
        if self._stopping:
            self._give_back(kind)
        else:
            self._pump(kind)

    def _give_back(self, kind: str) -> None:
        backlog = self._backlog[kind]
        if backlog:
            unwanted = list(backlog)
            backlog.clear()
            self._outcomes.on_unwanted(unwanted)

    def _pump(self, kind: str) -> None:
        """Hand out the backlog of one kind, always to the executor that holds least."""
        pool = self.pools[kind]
        if not pool.started:
            pool.start()
        while not self._hand_out(pool, self._backlog[kind]):
            pass  # what can not be told has left room for others

    def _hand_out(self, pool: Pool, backlog: deque[Assignment]) -> bool:
        """Fill what room there is. Whether all could be told to their executors."""
        room = [(len(e.assigned), e.setup.index, e.capacity, e) for e in pool.executors if e.capacity > 0]
        all_told = True
        if backlog and backlog[0].alone:
            room, all_told = self._place_alone(backlog, room)
        heapq.heapify(room)
        shares: dict[int, tuple[Executor, list[Assignment]]] = {}
        while backlog and room and not backlog[0].alone:
            load, index, capacity, executor = heapq.heappop(room)
            shares.setdefault(index, (executor, []))[1].append(backlog.popleft())
            if capacity > 1:
                heapq.heappush(room, (load + 1, index, capacity - 1, executor))
        for executor, share in shares.values():
            all_told = self._assign(executor, share) and all_told
        if shares:
            self._waiting_since.pop(pool.kind, None)
            self._patience.pop(pool.kind, None)
        return all_told

    def _assign(self, executor: Executor, share: list[Assignment]) -> bool:
        """Give the executor these. Whether all could be told: one message that can not must not harm the others."""
        try:
            executor.assign(share)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what others have sent
            if len(share) == 1:
                self._outcomes.on_untold(share[0], error)
            else:
                for assignment in share:
                    self._assign(executor, [assignment])
            return False
        return True

    def _place_alone(
        self, backlog: deque[Assignment], room: list[tuple[int, int, int, Executor]]
    ) -> tuple[list[tuple[int, int, int, Executor]], bool]:
        """Give suspects an executor to themselves; one that must empty first gets nothing else until then."""
        room.sort()
        all_told = True
        while backlog and backlog[0].alone and room and room[0][0] == 0:
            executor = room.pop(0)[3]
            all_told = self._assign(executor, [backlog.popleft()]) and all_told
        if backlog and backlog[0].alone:
            return [], all_told
        return room, all_told
