"""Running attempts as coroutines of one event loop. See `runners` for the others, and for what all have in common."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from celeriac.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celeriac.outcome import Outcome
from celeriac.worker.executors.interrupts import InterruptibleCoroutine
from celeriac.worker.executors.runners import MakeAttempt, Report
from celeriac.worker.ipc import Interrupt, PackedJob


class CoroutineRunner:
    """Attempts as coroutines of one event loop, at most `slots` at a time."""

    def __init__(self, make_attempt: MakeAttempt, report: Report, slots: int) -> None:
        self._make_attempt = make_attempt
        self._report = report
        self._slots = slots
        self._waiting: deque[PackedJob] = deque()
        self._running: dict[int, tuple[asyncio.Task[None], InterruptibleCoroutine[None]]] = {}
        self._finishing = False
        self.loop: Final = asyncio.new_event_loop()
        self._changed = asyncio.Event()

    def submit(self, jobs: Sequence[PackedJob]) -> None:
        self._waiting.extend(jobs)
        self.loop.call_soon_threadsafe(self._start_waiting)

    def take_back(self) -> list[int]:
        tags: list[int] = []
        while True:
            try:
                tags.append(self._waiting.pop().tag)
            except IndexError:
                return tags

    def interrupt(self, order: Interrupt) -> None:
        self.loop.call_soon_threadsafe(self._interrupt, order)

    def finish(self) -> None:
        self.loop.call_soon_threadsafe(self._finish)

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._until_finished())

    async def _until_finished(self) -> None:
        while not (self._finishing and not self._waiting and not self._running):
            try:
                await self._changed.wait()
            except asyncio.CancelledError:
                # A task that cancels all tasks of its loop means those it knows of; this one has to stay.
                own = asyncio.current_task()
                if own is not None:
                    own.uncancel()
            self._changed.clear()

    def _finish(self) -> None:
        self._finishing = True
        self._changed.set()

    def _interrupt(self, order: Interrupt) -> None:
        running = self._running.get(order.job)
        if running is not None:
            task, coroutine = running
            exception = TimeLimitExceeded(order.limit) if order.hard else SoftTimeLimitExceeded(order.limit)
            coroutine.interrupt(task, exception)

    def _start_waiting(self) -> None:
        while len(self._running) < self._slots:
            try:
                job = self._waiting.popleft()
            except IndexError:  # the I/O thread may have taken it back
                return
            coroutine = InterruptibleCoroutine(self._run(job))
            self._running[job.tag] = (self.loop.create_task(coroutine), coroutine)

    async def _run(self, job: PackedJob) -> None:
        begun = time.perf_counter()
        outcome: Outcome | None = None
        try:
            attempt = self._make_attempt(job)
            attempt.prepare()
            self._report.started(job)
            outcome = await attempt.arun()
        except BaseException as error:  # noqa: BLE001 - whatever it is, a cancellation too, the job must be reported
            outcome = outcome or self._report.broken(job, error)
        finally:
            del self._running[job.tag]
            self._changed.set()
        self._report.done(job, outcome, time.perf_counter() - begun)
        self._start_waiting()
