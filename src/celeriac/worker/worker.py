"""The worker as users start it: signal handlers, the event loop, and the choice of how executors are started.

A supervisor does the work; with `solo` it runs in a thread beside the tasks, which then have the main thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Final

from celeriac import signals
from celeriac.attempt import Site
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.executors.host import ExecutorHost
from celeriac.worker.executors.launcher import FreshLauncher, InlineLauncher, Launcher, TemplateLauncher
from celeriac.worker.ipc import ExecutorSetup, TemplateSetup
from celeriac.worker.options import WorkerOptions
from celeriac.worker.supervisor import Shutdown, Supervisor

if TYPE_CHECKING:
    from celeriac.app import Celeriac

logger = logging.getLogger("celeriac.worker")

_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGQUIT") if hasattr(signal, name))
#: Seconds for a solo worker's task to end after all was handed back.
_SOLO_GRACE_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 5.0


class Worker:
    """Takes tasks from the broker and has them run, until it is asked to stop.

    Args:
        app: whose tasks are run.
        options: how; by default what the app's settings say.

    Example:
        ```python
        exit_code = Worker(app, WorkerOptions.from_app(app, pool="solo")).run()
        ```
    """

    def __init__(self, app: Celeriac, options: WorkerOptions | None = None) -> None:
        self.app = app
        self.options = options or WorkerOptions.from_app(app)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._supervisor: Supervisor | None = None
        self._requests = 0
        self._early: Shutdown = Shutdown.NONE
        self._check_broker()

    def run(self) -> int:
        """Work until stopped by a signal or by `stop`. Blocks.

        The first TERM or INT lets running tasks finish; the second INT, or QUIT, hands back what runs, after
        `worker_soft_shutdown_timeout` seconds.

        Returns:
            The exit code: 0 after a warm shutdown, 1 after any other.

        Raises:
            OperationalError: the broker can not be used at the start.
        """
        launcher, serve = self._make_launcher()
        self.app.finalize()
        signals.worker_init.send(sender=self)
        restore = self._handle_signals()
        try:
            return serve(launcher)
        finally:
            restore()
            signals.worker_shutdown.send(sender=self)

    def stop(self, how: Shutdown = Shutdown.WARM) -> None:
        """Ask the worker to stop. Thread-safe; returns at once."""
        signals.worker_shutting_down.send(
            sender=self.options.hostname,
            sig=None,
            how=how.name.capitalize(),
            exitcode=int(how is not Shutdown.WARM),
        )
        self._early = max(self._early, how)
        if self._loop is not None and self._supervisor is not None:
            with suppress(RuntimeError):  # the loop has just closed: the worker has stopped
                self._loop.call_soon_threadsafe(self._supervisor.request_shutdown, how)

    # -- where executors and the loop live ---------------------------------------------------------

    def _make_launcher(self) -> tuple[Launcher, Callable[[Launcher], int]]:
        options = self.options
        if options.pool == "solo":
            handed_over: SimpleQueue[tuple[socket.socket, ExecutorSetup] | None] = SimpleQueue()
            inline = InlineLauncher(lambda sock, setup: handed_over.put((sock, setup)))
            return inline, lambda launcher: self._run_solo(launcher, handed_over)
        if options.app_spec is None:
            raise ImproperlyConfigured(
                f"the {options.pool} pool starts processes that import the app, and was not told how: "
                "start it by `celeriac -A MODULE worker`, or use pool='solo'"
            )
        setup = TemplateSetup(options.app_spec, options.hostname, options.loglevel, options.logfile)
        if not hasattr(os, "fork") or self.app.conf.worker_pool_start_method == "spawn":
            return FreshLauncher(setup), self._run_loop
        template = TemplateLauncher(setup, on_failed=self._on_template_failed)
        template.start_process()
        return template, self._run_loop

    def _run_loop(self, launcher: Launcher) -> int:
        with asyncio.Runner() as runner:
            return runner.run(self._supervise(launcher))

    def _run_solo(
        self, launcher: Launcher, handed_over: SimpleQueue[tuple[socket.socket, ExecutorSetup] | None]
    ) -> int:
        """The supervisor in a thread, tasks in this one: a debugger in a task works, and leases are still renewed."""
        result: list[int | BaseException] = []
        in_main_thread = threading.current_thread() is threading.main_thread()

        def supervise() -> None:
            try:
                result.append(self._run_loop(launcher))
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread below
                result.append(error)
            finally:
                handed_over.put(None)
            if self._early is Shutdown.COLD and in_main_thread:
                # All is handed back, and the task that still has the main thread can not be ended in another way.
                time.sleep(_SOLO_GRACE_SECONDS)
                os._exit(1)

        thread = threading.Thread(target=supervise, name="celeriac-supervisor", daemon=True)
        thread.start()
        site = Site(
            hostname=self.options.hostname,
            pid=os.getpid(),
            logfile=self.options.logfile,
            loglevel=self.options.loglevel,
        )
        while (order := handed_over.get()) is not None:
            sock, setup = order
            host = ExecutorHost(self.app, sock, setup, site)
            host.listen()
            host.serve()
            host.close()
        thread.join(timeout=_JOIN_SECONDS)
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    async def _supervise(self, launcher: Launcher) -> int:
        self._loop = asyncio.get_running_loop()
        self._supervisor = Supervisor(self.app, self.options, launcher)
        if self._early is not Shutdown.NONE:
            self._supervisor.request_shutdown(self._early)
        return await self._supervisor.run()

    def _on_template_failed(self, error: str) -> None:
        if self._supervisor is not None:
            self._supervisor.fail(f"The app can not be imported by executor processes:\n{error}")

    # -- signals -----------------------------------------------------------------------------------

    def _handle_signals(self) -> Callable[[], None]:
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}

        def restore() -> None:
            for number, handler in previous.items():
                signal.signal(number, handler)

        return restore

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._requests += number != signal.SIGTERM
        soft = self.app.conf.worker_soft_shutdown_timeout > 0
        if number == getattr(signal, "SIGQUIT", None) or self._requests > 1:
            # The third request does not wait for the soft period of the second.
            how = Shutdown.SOFT if soft and self._early < Shutdown.SOFT else Shutdown.COLD
        else:
            how = Shutdown.WARM
        # Plain writes: logging takes locks that the interrupted code may hold.
        os.write(2, f"\nceleriac: {_describe_shutdown(how)} shutdown ({signal.Signals(number).name})\n".encode())
        self.stop(how)

    def _check_broker(self) -> None:
        if self.options.pool != "solo" and not self.app.broker.capabilities.between_processes:
            raise ImproperlyConfigured(
                f"{self.app.broker.address} lives in one process and the {self.options.pool} pool starts others: "
                "use pool='solo', or a broker such as sqlite:///celeriac.sqlite3"
            )


def _describe_shutdown(how: Shutdown) -> str:
    return {Shutdown.WARM: "warm", Shutdown.SOFT: "soft", Shutdown.COLD: "cold"}[how]
