"""What a process does to become an executor: after a fork from the template, or from a fresh start.

Run as `python -m celeriac.worker.executors.child FD` it is started fresh: the first frame on FD is the worker's
`TemplateSetup`, the second the `ExecutorSetup`; then the socket serves as the executor's own.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from celeriac import signals
from celeriac.attempt import Site
from celeriac.worker.executors.host import ExecutorHost
from celeriac.worker.ipc import TO_TEMPLATE, BlockingChannel, ExecutorSetup, TemplateSetup
from celeriac.worker.logs import setup_logging

if TYPE_CHECKING:
    from celeriac.app import Celeriac

#: The supervisor died and this process ended itself.
EXIT_ORPHANED = 75


def import_app(setup: TemplateSetup) -> Celeriac:
    """Import the worker's app and its task modules, and log as the worker does."""
    app = setup.app_spec.load()
    setup_logging(app, setup.loglevel, setup.logfile, hostname=setup.hostname)
    app.import_modules()
    app.finalize()
    return app


def leave_to_supervisor() -> None:
    """Let the supervisor alone decide how this process ends.

    A terminal's Ctrl-C and a stop of a whole control group reach every process; executors then still have to finish
    their tasks. A handler that does nothing is used, not SIG_IGN: programs that tasks start would inherit that.
    """

    def do_nothing(_number: int, _frame: FrameType | None) -> None:
        pass

    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), do_nothing)


def run_executor(app: Celeriac, sock: socket.socket, setup: ExecutorSetup, worker: TemplateSetup) -> None:
    """Serve the supervisor at the other end of `sock` until it says stop."""
    leave_to_supervisor()
    multiprocessing.current_process().name = f"{setup.kind.capitalize()}-{setup.index}"
    if worker.logfile and "%" in worker.logfile:  # it may be a file for each executor
        setup_logging(app, worker.loglevel, worker.logfile, hostname=worker.hostname, index=setup.index)
    random.seed()  # forked children would all draw the same numbers, for example for the jitter of retries
    site = Site(hostname=worker.hostname, pid=os.getpid(), logfile=worker.logfile, loglevel=worker.loglevel)
    host = ExecutorHost(app, sock, setup, site, on_orphaned=lambda: os._exit(EXIT_ORPHANED))
    sock.set_inheritable(False)  # it may come as one, and its last copy must close when this process dies
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _leave_executor(host))
    host.listen()  # first: a handler that hangs must not outlive the supervisor
    signals.worker_process_init.send(sender=None)
    host.serve()
    signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
    host.close()  # last: when all have hung up the worker ends, and with it its processes


def _leave_executor(host: ExecutorHost) -> None:
    """In a process that a task has forked: it is no executor, and signals mean to it what they mean to any other."""
    host.close()
    with suppress(ValueError):  # not forked from the main thread: then it has none of these handlers
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)


def main() -> None:
    """Start fresh, without a template (where there is no fork)."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    channel = BlockingChannel(sock, TO_TEMPLATE)
    frames = channel.receive()
    while frames is not None and len(frames) < 2:
        more = channel.receive()
        frames = None if more is None else frames + more
    match frames:
        case [TemplateSetup() as worker, ExecutorSetup() as setup]:
            run_executor(import_app(worker), sock, setup, worker)
        case _:
            sys.exit("an executor process is started by its worker only: use `celeriac worker`")


if __name__ == "__main__":
    main()
