"""Two of the three ways to run attempts: one at a time in the main thread, or in threads (`coroutines` is the third).

A runner is fed by the executor's I/O thread and reports through `report`. It knows nothing of sockets, supervisors or
processes. Calls marked "I/O thread" come from there; `run` blocks the thread it is called in.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Protocol, Self

from celeriac.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celeriac.outcome import Outcome
from celeriac.worker.executors.interrupts import (
    clear_raise_in_thread,
    interrupt_main_thread,
    raise_in_thread,
    signal_handler,
)
from celeriac.worker.ipc import Interrupt, PackedJob

#: Seconds between signals for one interrupt: a signal that comes just before a thread enters a system call does not
#: end the call, and its handler runs only when the call has returned.
_SIGNAL_PAUSES: Final = (0.001, 0.005, 0.02, 0.1)


class Runnable(Protocol):
    """What runners need of an attempt (`celeriac.attempt.Attempt`)."""

    @property
    def is_coroutine(self) -> bool:
        """To be run by `arun`."""
        ...

    def prepare(self) -> object:
        """Decode the message. Done before the task's time begins, so that no limit can hit it."""
        ...

    def run(self) -> Outcome: ...

    async def arun(self) -> Outcome: ...


#: Makes the attempt for a job.
MakeAttempt = Callable[[PackedJob], Runnable]


class Report(Protocol):
    """Where runners tell what happens."""

    def begins(self, job: PackedJob) -> None:
        """The attempt is about to be made, and the runner had nothing to run before. Told by `MainThreadRunner`."""
        ...

    def started(self, job: PackedJob) -> None:
        """The task's time begins now."""
        ...

    def done(self, job: PackedJob, outcome: Outcome, seconds: float, *, idle: bool = False) -> None:
        """The attempt has ended; `idle`: the runner has nothing to run now."""
        ...

    def broken(self, job: PackedJob, error: BaseException) -> Outcome:
        """The outcome of an attempt that came to none of its own.

        It could not be made, or a time limit's exception came between its end and here. Every job that was started
        is reported in one way or the other.
        """
        ...


class Runner(Protocol):
    """Runs jobs in the order they are submitted, as many at a time as it has slots."""

    def submit(self, jobs: Sequence[PackedJob]) -> None:
        """I/O thread: queue these."""
        ...

    def take_back(self) -> list[int]:
        """I/O thread: withdraw all that has not begun and return their tags."""
        ...

    def interrupt(self, order: Interrupt) -> None:
        """I/O thread: raise in the attempt that `order` names, if it runs."""
        ...

    def finish(self) -> None:
        """I/O thread: let `run` return when what is queued and running is done."""
        ...

    def run(self) -> None:
        """Run jobs until `finish`."""
        ...


def _drain(jobs: SimpleQueue[PackedJob | None]) -> list[int]:
    """Withdraw all jobs, and leave the marks of `finish` where they are."""
    tags: list[int] = []
    marks = 0
    while True:
        try:
            job = jobs.get_nowait()
        except Empty:
            break
        if job is None:
            marks += 1
        else:
            tags.append(job.tag)
    for _ in range(marks):
        jobs.put(None)
    return tags


class MainThreadRunner:
    """One attempt at a time, in the thread that calls `run` (the main thread, so that signals reach the task)."""

    def __init__(self, make_attempt: MakeAttempt, report: Report) -> None:
        self._make_attempt = make_attempt
        self._report = report
        self._jobs: SimpleQueue[PackedJob | None] = SimpleQueue()
        self._paused = True  # as it was told to the supervisor last
        self._current: int | None = None
        self._interrupted: int | None = None
        self._exception: SoftTimeLimitExceeded | TimeLimitExceeded = SoftTimeLimitExceeded()

    def submit(self, jobs: Sequence[PackedJob]) -> None:
        for job in jobs:
            self._jobs.put(job)

    def take_back(self) -> list[int]:
        return _drain(self._jobs)

    def interrupt(self, order: Interrupt) -> None:
        kind = TimeLimitExceeded if order.hard else SoftTimeLimitExceeded
        self._exception = kind(order.limit)
        self._interrupted = order.job
        for pause in _SIGNAL_PAUSES:
            interrupt_main_thread(kind)
            time.sleep(pause)
            if self._interrupted != order.job or self._current != order.job:
                return

    def finish(self) -> None:
        self._jobs.put(None)

    def run(self) -> None:
        with signal_handler(self._raise_if_current), _LazyEventLoop() as loop:
            while True:
                paused = self._jobs.empty()
                job = self._jobs.get()
                if job is None:
                    return
                self._run(job, loop, after_pause=paused or self._paused)

    def _raise_if_current(self) -> None:
        if self._current is not None and self._current == self._interrupted:
            self._interrupted = None
            raise self._exception

    def _run(self, job: PackedJob, loop: _LazyEventLoop, *, after_pause: bool) -> None:
        begun = time.perf_counter()
        outcome: Outcome | None = None
        if after_pause:
            self._report.begins(job)
        try:
            attempt = self._make_attempt(job)
            attempt.prepare()
            self._current = job.tag  # before the start is known, as an interrupt may come at once
            self._report.started(job)
            outcome = loop.run(attempt.arun()) if attempt.is_coroutine else attempt.run()
            self._current = None
        except BaseException as error:  # noqa: BLE001 - whatever it is, the job must be reported
            self._current = None
            outcome = outcome or self._report.broken(job, error)
        self._paused = self._jobs.empty()
        self._report.done(job, outcome, time.perf_counter() - begun, idle=self._paused)


class _LazyEventLoop:
    """An event loop for coroutine tasks that a main-thread runner gets (`solo`), made when the first one comes."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._runner is not None:
            self._runner.close()

    def run(self, coroutine: Coroutine[object, object, Outcome]) -> Outcome:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)


class ThreadRunner:
    """As many attempts at a time as there are threads."""

    def __init__(self, make_attempt: MakeAttempt, report: Report, slots: int) -> None:
        self._make_attempt = make_attempt
        self._report = report
        self._slots = slots
        self._jobs: SimpleQueue[PackedJob | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._running: dict[int, int] = {}  # job tag -> thread
        self._interrupted: set[int] = set()

    def submit(self, jobs: Sequence[PackedJob]) -> None:
        for job in jobs:
            self._jobs.put(job)

    def take_back(self) -> list[int]:
        return _drain(self._jobs)

    def interrupt(self, order: Interrupt) -> None:
        with self._lock:
            ident = self._running.get(order.job)
            if ident is not None:
                self._interrupted.add(order.job)
                raise_in_thread(ident, TimeLimitExceeded if order.hard else SoftTimeLimitExceeded)

    def finish(self) -> None:
        for _ in range(self._slots):
            self._jobs.put(None)

    def run(self) -> None:
        threads = [
            # Daemons, so that a thread which hangs past its time limit can not keep the process alive.
            threading.Thread(target=self._work, name=f"celeriac-task-{number}", daemon=True)
            for number in range(1, self._slots + 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._run(job)

    def _run(self, job: PackedJob) -> None:
        ident = threading.get_ident()
        begun = time.perf_counter()
        outcome: Outcome | None = None
        try:
            attempt = self._make_attempt(job)
            attempt.prepare()
            with self._lock:
                self._running[job.tag] = ident
            self._report.started(job)
            outcome = attempt.run()
            self._stop_interrupts(job, ident)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the job must be reported
            self._stop_interrupts(job, ident)
            outcome = outcome or self._report.broken(job, error)
        self._report.done(job, outcome, time.perf_counter() - begun)

    def _stop_interrupts(self, job: PackedJob, ident: int) -> None:
        with self._lock:
            self._running.pop(job.tag, None)
            if job.tag in self._interrupted:
                self._interrupted.discard(job.tag)
                clear_raise_in_thread(ident)
