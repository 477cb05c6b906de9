"""Keeps a number of executors of one kind alive, replacing those that end."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Final

from celeriac.worker.backoff import Backoff
from celeriac.worker.executors.executor import Executor, ExecutorEvents, open_executor
from celeriac.worker.executors.launcher import Launcher
from celeriac.worker.ipc import ExecutorSetup

logger = logging.getLogger("celeriac.worker")

#: Executors of all pools of a worker are numbered together.
_numbers = itertools.count(1)

#: Between tries when executors end before they are ready: a broken start must not become a fork bomb.
_FIRST_RESTART_SECONDS: Final = 0.2


class Pool:
    """Executors of one kind.

    Args:
        kind: `process`, `thread` or `asyncio`.
        size: how many executors.
        slots: attempts at a time in each.
        launcher: starts them.
        events: told of what happens to them.
        now: monotonic time.
        ready_seconds: how long a new executor may take to be ready, once the app is imported.
        max_tasks: see `ExecutorSetup`.
        max_memory: see `ExecutorSetup`.
    """

    def __init__(
        self,
        kind: str,
        *,
        size: int,
        slots: int,
        launcher: Launcher,
        events: ExecutorEvents,
        now: Callable[[], float],
        ready_seconds: float,
        max_tasks: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        self.kind = kind
        self.size = size
        self.slots = slots
        self.executors: list[Executor] = []
        self.started = False
        self._launcher = launcher
        self._events = events
        self._now = now
        self._ready_seconds = ready_seconds
        self._unready_since: dict[int, float] = {}
        self._max_tasks = max_tasks
        self._max_memory = max_memory
        self._stopping = False
        self._backoff = Backoff(first=_FIRST_RESTART_SECONDS)
        self._openings: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Launch what is missing. Called again after each end of an executor."""
        self.started = True
        missing = self.size - sum(not executor.retiring for executor in self.executors) - len(self._openings)
        for _ in range(missing):
            self._open(delay=0.0)

    def ended(self, executor: Executor) -> None:
        """Forget an executor that is gone and start another in its place."""
        self.executors.remove(executor)
        self._unready_since.pop(executor.setup.index, None)
        if self._stopping:
            return
        if executor.ready:
            self._backoff.reset()
            self.start()
        else:
            delay = self._backoff.next()
            logger.error("A new %s executor ended before it was ready; the next try is in %.1f s", self.kind, delay)
            self._open(delay=delay)

    def retire(self, executor: Executor) -> None:
        """Replace an executor that still runs something."""
        executor.retire()
        if not self._stopping:
            self.start()

    def stop(self) -> None:
        """Let every executor finish what runs, and start no more."""
        self._stopping = True
        for opening in self._openings:
            opening.cancel()
        for executor in self.executors:
            executor.retire()

    def kill_executors(self) -> None:
        """End every executor at once. What it had sent before is still heard, until `hang_up`."""
        self._stopping = True
        for opening in self._openings:
            opening.cancel()
        for executor in self.executors:
            self._kill(executor)

    def on_exit(self, pid: int) -> None:
        """A process has ended. Its socket may be held open by a process that a task has started."""
        for executor in self.executors:
            if executor.pid == pid:
                executor.abort()
                return

    def _kill(self, executor: Executor) -> None:
        """Once: afterwards the process id may be another's."""
        if executor.pid is not None and not executor.killed:
            executor.killed = True
            self._launcher.kill(executor.pid)

    def hang_up(self) -> None:
        """Close the channels of executors that are still there (one that is not ready has no known process yet)."""
        for executor in list(self.executors):
            executor.hang_up()

    def tick(self) -> None:
        """Look after stalled and retired executors, and those that never get ready."""
        now = self._now()
        for executor in self.executors:
            if not executor.ready:
                self._check_start(executor, now)
            elif executor.retiring and executor.overdue and not executor.assigned:
                self._kill(executor)
            else:
                executor.take_back_if_stalled()

    def _check_start(self, executor: Executor, now: float) -> None:
        since = self._unready_since.setdefault(executor.setup.index, now) if self._launcher.is_quick else now
        if now - since > self._ready_seconds:
            logger.error(
                "Executor %d is not ready after %s s (worker_proc_alive_timeout): does a handler of "
                "worker_process_init hang?",
                executor.setup.index,
                self._ready_seconds,
            )
            executor.hang_up()

    def _open(self, delay: float) -> None:
        opening = asyncio.get_running_loop().create_task(self._launch(delay))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)

    async def _launch(self, delay: float) -> None:
        if delay:
            await asyncio.sleep(delay)
        setup = ExecutorSetup(next(_numbers), self.kind, self.slots, self._max_tasks, self._max_memory)
        opening = asyncio.current_task()
        assert opening is not None
        try:
            executor = await open_executor(setup, self._launcher.launch(setup), self._events, self._now)
        except OSError as error:  # no descriptors or processes left
            self._openings.discard(opening)
            seconds = self._backoff.next()
            logger.error("Can not start a %s executor, the next try is in %.1f s: %s", self.kind, seconds, error)
            self._open(seconds)
        else:
            self._openings.discard(opening)
            self.executors.append(executor)
