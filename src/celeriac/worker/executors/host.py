"""An executor's own side: reads orders in an I/O thread, runs jobs by a runner, reports what becomes of them.

The I/O thread runs no task code, so a job that waits behind a slow one can be given back while that one runs.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from celeriac.attempt import Attempt, Site
from celeriac.exceptions import DecodeError
from celeriac.outcome import Failed, Outcome, Unrunnable
from celeriac.worker.executors.coroutines import CoroutineRunner
from celeriac.worker.executors.runners import MainThreadRunner, Runner, ThreadRunner
from celeriac.worker.failures import bare_failure
from celeriac.worker.ipc import (
    TO_EXECUTOR,
    Begins,
    BlockingChannel,
    Done,
    ExecutorSetup,
    Interrupt,
    PackedJob,
    Ready,
    Retiring,
    Returned,
    Run,
    Started,
    Stop,
    TakeBack,
    ToExecutor,
)

if TYPE_CHECKING:
    from celeriac.app import Celeriac

logger = logging.getLogger("celeriac.worker")


def resident_kib() -> int:
    """Resident memory of this process in KiB; its peak where the system does not tell the present value."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - read after every task
            return int(statm.read().split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)
    except OSError:
        import resource  # noqa: PLC0415 - not on Windows, where there is no limit then

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak


class ExecutorHost:
    """Serves one supervisor over one socket.

    Args:
        app: the app whose tasks are run.
        sock: this executor's end of its socket.
        setup: what kind of executor this is.
        site: where attempts run, for their requests and results.
        on_orphaned: called in the I/O thread when the supervisor is gone. The attempts that run then can settle
            nothing any more, so a process ends itself here. By default what runs is finished.
    """

    def __init__(
        self,
        app: Celeriac,
        sock: socket.socket,
        setup: ExecutorSetup,
        site: Site,
        on_orphaned: Callable[[], None] | None = None,
    ) -> None:
        self._app = app
        self._site = site
        self._setup = setup
        self._channel = BlockingChannel(sock, TO_EXECUTOR)
        self._runner = self._make_runner()
        self._on_orphaned = on_orphaned or self._runner.finish
        self._runs = 0
        self._retiring = threading.Lock()  # held for good once this executor retires
        self._stopped = threading.Event()
        self._io_thread = threading.Thread(target=self._read_orders, name="celeriac-io", daemon=True)

    def listen(self) -> None:
        """Start to read orders, and to notice that the supervisor is gone."""
        self._io_thread.start()

    def serve(self) -> None:
        """Run jobs until told to stop, after `listen`. Blocks the calling thread, in which process jobs run."""
        self._channel.send(Ready(os.getpid()))
        self._runner.run()

    # -- what runners report -----------------------------------------------------------------------

    def begins(self, job: PackedJob) -> None:
        self._channel.send(Begins(job.tag))

    def started(self, job: PackedJob) -> None:
        if job.announce:
            self._channel.send(Started(job.tag))

    def done(self, job: PackedJob, outcome: Outcome, seconds: float, *, idle: bool = False) -> None:
        # At once, each one: what this process still held would be lost with it, and the task would run again.
        try:
            heard = self._channel.send(Done(job.tag, outcome, seconds, idle))
        except Exception as error:
            logger.exception("The outcome of %s can not be reported", job.packed.label)
            heard = self._channel.send(Done(job.tag, self.broken(job, error), seconds, idle))
        if not heard:
            self._on_orphaned()  # or the task has closed the socket: either way nothing can be settled from here
        if self._setup.max_tasks is not None or self._setup.max_memory is not None:
            self._runs += 1
            self._retire_if_worn()

    def broken(self, job: PackedJob, error: BaseException) -> Outcome:
        text = repr(error).encode(errors="replace").decode()
        if isinstance(error, DecodeError):
            return Unrunnable(text)
        return Failed(text, bare_failure(self._app, job.packed, error))

    # -- orders, in the I/O thread -----------------------------------------------------------------

    def _read_orders(self) -> None:
        try:
            while (orders := self._channel.receive()) is not None:
                for order in orders:
                    self._obey(order)
                if self._stopped.is_set():
                    return
        except Exception:
            # A deaf executor would keep its tasks for ever; a dead one is replaced and its tasks run again.
            logger.critical("An executor can not read its orders and ends", exc_info=True)
        self._on_orphaned()

    def _obey(self, order: ToExecutor) -> None:
        match order:
            case Run(jobs):
                self._submit(jobs)
            case TakeBack():
                self._channel.send(Returned(tuple(self._runner.take_back())))
            case Interrupt():
                self._runner.interrupt(order)
            case Stop():
                self._channel.send(Returned(tuple(self._runner.take_back())))
                self._runner.finish()
                self._stopped.set()

    def _submit(self, jobs: Sequence[PackedJob]) -> None:
        if self._retiring.locked():
            self._channel.send(Returned(tuple(job.tag for job in jobs)))
        else:
            self._runner.submit(jobs)
            if self._retiring.locked():  # it began to retire in between and may have missed these
                self._channel.send(Returned(tuple(self._runner.take_back())))

    def _retire_if_worn(self) -> None:
        setup = self._setup
        if setup.max_tasks is not None and self._runs >= setup.max_tasks:
            ran = "1 task" if self._runs == 1 else f"{self._runs} tasks"
            reason = f"it has run {ran} (worker_max_tasks_per_child)"
        elif setup.max_memory is not None and resident_kib() > setup.max_memory:
            reason = f"it uses more than {setup.max_memory} KiB (worker_max_memory_per_child)"
        else:
            return
        if self._retiring.acquire(blocking=False):
            self._channel.send(Returned(tuple(self._runner.take_back())))
            self._channel.send(Retiring(reason))

    def close(self) -> None:
        """Hang up: the supervisor takes this executor for gone.

        A process that a task has forked must do so too with its copy, or the supervisor would not see the death of
        this one.
        """
        self._channel.close()

    def _make_runner(self) -> Runner:
        match self._setup.kind:
            case "process":
                return MainThreadRunner(self._make_attempt, self)
            case "thread":
                return ThreadRunner(self._make_attempt, self, self._setup.slots)
            case "asyncio":
                return CoroutineRunner(self._make_attempt, self, self._setup.slots)
            case kind:
                raise ValueError(f"no executor of kind {kind!r}")

    def _make_attempt(self, job: PackedJob) -> Attempt:
        return Attempt(self._app, job.unpack(), self._site)
