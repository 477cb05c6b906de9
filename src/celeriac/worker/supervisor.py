"""The supervisor: all I/O with the broker, leases, limits and timers. It runs no task code.

Composes the parts of this package around one event loop; each part's rules are in its own module.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from celeriac import signals
from celeriac.exceptions import OperationalError
from celeriac.worker.admission import Admission
from celeriac.worker.backoff import Backoff
from celeriac.worker.consumer import Consumer
from celeriac.worker.dispatcher import TICK_SECONDS, Dispatcher
from celeriac.worker.duties import (
    RECOVER_SECONDS,
    RENEWALS_PER_LEASE,
    SWEEP_SECONDS,
    RecoverLost,
    RenewLease,
    SweepResults,
    Ticker,
)
from celeriac.worker.executors.launcher import Launcher
from celeriac.worker.executors.pool import Pool
from celeriac.worker.intake import Intake
from celeriac.worker.joiner import Joiner
from celeriac.worker.options import WorkerOptions, available_cpus
from celeriac.worker.outages import Outage, Trouble, open_patiently, patience_at_start, patience_later
from celeriac.worker.settler import Settler
from celeriac.worker.verdicts import Verdicts

if TYPE_CHECKING:
    from celeriac.app import Celeriac

logger = logging.getLogger("celeriac.worker")

#: Seconds for the last settlements after all tasks have ended.
_DRAIN_SECONDS: Final = 10.0
#: Seconds between looks after executors that have nothing to run.
_IDLE_TICK_SECONDS: Final = 0.25
#: Seconds for which a worker that has given back tasks leaves them to others.
_YIELD_SECONDS: Final = 0.1
#: Seconds for executors that have nothing left to run to leave: handlers of `worker_process_shutdown` run then.
_LEAVE_SECONDS: Final = 5.0
#: Seconds for killed executors to be gone.
_LAST_WORDS_SECONDS: Final = 1.0

#: The kind of executor for sync tasks that name none, by pool.
_DEFAULT_KINDS: Final = {"prefork": "process", "threads": "thread", "asyncio": "thread", "solo": "process"}
#: The kind that a pool is made for; it is there from the start, the others when a task needs them.
_MAIN_KINDS: Final = {"prefork": "process", "threads": "thread", "asyncio": "asyncio", "solo": "process"}


class Shutdown(enum.IntEnum):
    """How a worker is asked to end; a later request can only be stronger."""

    NONE = 0
    #: Finish what runs.
    WARM = 1
    #: Let what runs go on for `worker_soft_shutdown_timeout`, then hand it back.
    SOFT = 2
    #: Hand everything back and go.
    COLD = 3


class Supervisor:
    """One worker's heart.

    Args:
        app: whose tasks are run.
        options: how.
        launcher: starts executors.
    """

    def __init__(self, app: Celeriac, options: WorkerOptions, launcher: Launcher) -> None:
        self._app = app
        self._options = options
        self._launcher = launcher
        self._broker = app.broker
        self._owner = f"{options.hostname}#{os.getpid()}-{secrets.token_hex(4)}"
        self._pools: dict[str, Pool] = {}
        trouble = Trouble()
        self._settler = Settler(app, app.broker, app.backend, trouble, self._look_for_complete_chords)
        admission = Admission(app, options, _DEFAULT_KINDS[options.pool])
        self._joiner = Joiner(
            app,
            options.queues,
            admission,
            lambda assignments: self._dispatcher.submit(assignments),  # noqa: PLW0108 - there is none yet
            lambda: self._dispatcher.has_room,
            lambda wanted: self._dispatcher.keep_room(wanted),  # noqa: PLW0108 - as above
            app.conf.worker_lease_seconds,
            trouble,
        )
        self._verdicts = Verdicts(
            app, self._owner, options.hostname, admission, self._settler, self._pools, launcher, self._joiner
        )
        self._dispatcher = Dispatcher(self._pools, launcher, self._verdicts)
        self._make_pools()
        self._kinds_at_start = {_MAIN_KINDS[options.pool]} | {admission.kind_of(task) for task in app.user_tasks()}
        intake = Intake(app.clock, admission, self._settler, self._dispatcher)
        outage = Outage(patience_later(app.conf), app.clock.monotonic)
        self._consumer = Consumer(app.broker, options.queues, self._dispatcher, intake, outage, self.fail, trouble)
        seconds = app.conf.worker_lease_seconds / RENEWALS_PER_LEASE
        timed = app.broker.capabilities.timed_leases
        recovery = RecoverLost(app.broker, self._verdicts.on_recovered)
        self._duties = [
            Ticker(RenewLease(app.broker), seconds, trouble),
            # Where leases run out not at once: if the store was away just now, those who live must have time to say so.
            Ticker(recovery, min(seconds, RECOVER_SECONDS), trouble, first_after=2 * seconds if timed else 0.0),
            Ticker(SweepResults(app.backend), SWEEP_SECONDS, trouble),
            Ticker(self._joiner, max(RECOVER_SECONDS, seconds), trouble),
        ]
        self._shutdown = Shutdown.NONE
        self._shutdown_changed = asyncio.Event()
        self._failed = False

    async def run(self) -> int:
        """Work until asked to stop. Returns the exit code: 0 after a warm shutdown, 1 after any other.

        Raises:
            OperationalError: the broker could not be used at the start, for as long as the settings have it tried.
        """
        try:
            if not await self._open_broker():
                return 0 if self._shutdown is Shutdown.WARM else 1
            with suppress(OperationalError):  # the consumer tries on, and tells
                await self._broker.reserve(self._options.queues, 0, 0.0)  # who hears that it is ready may send at once
            await self._launcher.start()
            self._settler.start()
            self._joiner.start()
            for duty in self._duties:
                duty.start()
            for kind in self._kinds_at_start:
                self._pools[kind].start()
            self._consumer.start()
            signals.worker_ready.send(sender=self)
            logger.info("%s ready.", self._options.hostname)
            await self._look_after_executors()
            await self._finish()
        finally:
            await self._close()
        return 0 if self._shutdown is Shutdown.WARM and not self._failed else 1

    async def _open_broker(self) -> bool:
        conf = self._app.conf
        return await open_patiently(
            lambda: self._broker.open(self._owner, lease_seconds=conf.worker_lease_seconds),
            Outage(patience_at_start(conf), self._app.clock.monotonic),
            self._shutdown_changed,
            Backoff(),
        )

    def _look_for_complete_chords(self) -> None:
        self._joiner.look()

    def request_shutdown(self, how: Shutdown) -> None:
        """Ask the worker to end. To be called in its event loop."""
        if how > self._shutdown:
            self._shutdown = how
            self._shutdown_changed.set()

    def fail(self, reason: str) -> None:
        """The worker can not go on: end it, with exit code 1."""
        logger.critical("%s", reason)
        self._failed = True
        self.request_shutdown(Shutdown.COLD)

    async def _look_after_executors(self) -> None:
        while self._shutdown is Shutdown.NONE:
            if self._dispatcher.tick(asyncio.get_running_loop().time()):
                self._consumer.pause(_YIELD_SECONDS)
            try:
                async with asyncio.timeout(TICK_SECONDS if self._dispatcher.in_flight else _IDLE_TICK_SECONDS):
                    await self._shutdown_changed.wait()
            except TimeoutError:
                pass

    async def _finish(self) -> None:
        """Stop taking, let running tasks end as the shutdown allows, and write what they caused."""
        await self._consumer.stop()
        await self._joiner.stop()
        self._dispatcher.stop()
        while self._dispatcher.in_flight and self._shutdown is not Shutdown.COLD:
            self._shutdown_changed.clear()
            try:
                async with asyncio.timeout(self._patience()):
                    await self._wait_for_progress()
            except TimeoutError:
                self.request_shutdown(Shutdown.COLD)
        if self._dispatcher.in_flight:
            logger.warning("Handing back %d tasks that still run", self._dispatcher.in_flight)
        if self._shutdown is not Shutdown.COLD:
            await self._dispatcher.wait_ended(_LEAVE_SECONDS)
        await self._dispatcher.abandon(_LAST_WORDS_SECONDS)
        if not await self._settler.drain(_DRAIN_SECONDS):
            self._failed = True
            logger.error("Some results of finished tasks can not be recorded now; those tasks run again")

    def _patience(self) -> float | None:
        """Seconds to wait for running tasks, None for as long as they take."""
        return self._app.conf.worker_soft_shutdown_timeout if self._shutdown is Shutdown.SOFT else None

    async def _wait_for_progress(self) -> None:
        """Until nothing runs any more, or a stronger shutdown is asked for."""
        while self._dispatcher.in_flight and not self._shutdown_changed.is_set():
            for pool in self._pools.values():
                pool.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def _close(self) -> None:
        self._verdicts.stop()
        for duty in self._duties:
            await duty.stop()
        await self._consumer.stop()
        await self._joiner.stop()
        await self._settler.stop()
        await self._dispatcher.abandon(patience=0.0)
        await self._launcher.stop()
        try:
            await self._broker.close()  # gives back, uncounted, what was running
        except OperationalError as error:
            logger.error("Can not give up the lease; what this worker held runs again when it has run out: %s", error)

    def _make_pools(self) -> None:
        options, conf = self._options, self._app.conf
        shapes = {
            "process": (options.concurrency if options.pool == "prefork" else available_cpus(), 1),
            "thread": (
                1,
                options.concurrency if options.pool == "threads" else conf.worker_thread_concurrency,
            ),
            "asyncio": (
                1,
                options.concurrency if options.pool == "asyncio" else conf.worker_asyncio_concurrency,
            ),
        }
        if options.pool == "solo":
            shapes = {"process": (1, 1)}
        for kind, (size, slots) in shapes.items():
            self._pools[kind] = Pool(
                kind,
                size=size,
                slots=slots,
                launcher=self._launcher,
                events=self._dispatcher,
                now=self._app.clock.monotonic,
                ready_seconds=conf.worker_proc_alive_timeout,
                max_tasks=options.max_tasks_per_child,
                max_memory=options.max_memory_per_child,
            )
