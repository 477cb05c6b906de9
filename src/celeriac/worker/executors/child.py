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
import threading
from types import FrameType
from typing import TYPE_CHECKING, Final

from celeriac import signals
from celeriac.attempt import Site
from celeriac.worker.executors.host import ExecutorHost
from celeriac.worker.executors.interrupts import SOFT_LIMIT_SIGNAL
from celeriac.worker.ipc import TO_TEMPLATE, BlockingChannel, ExecutorSetup, TemplateSetup
from celeriac.worker.logs import setup_logging

if TYPE_CHECKING:
    from celeriac.app import Celeriac

_LEFT_TO_SUPERVISOR: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)
)
#: All signals that executors have handlers for.
_OWN_SIGNALS: Final = (*_LEFT_TO_SUPERVISOR, *((SOFT_LIMIT_SIGNAL,) if SOFT_LIMIT_SIGNAL is not None else ()))

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

    for number in _LEFT_TO_SUPERVISOR:
        signal.signal(number, do_nothing)


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
        forks = ForksOfTasks(host)
        os.register_at_fork(
            before=forks.before, after_in_parent=forks.after_in_parent, after_in_child=forks.after_in_child
        )
    host.listen()  # first: a handler that hangs must not outlive the supervisor
    signals.worker_process_init.send(sender=None)
    host.serve()
    signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
    host.close()  # last: when all have hung up the worker ends, and with it its processes


class ForksOfTasks:
    """Makes a process that a task forks an ordinary one: no executor, and signals mean what they mean to any other.

    Signals are held back around the fork. One that came before the child has changed its handlers would be lost on the
    executor's, which do nothing: `multiprocessing.Pool` then waits for ever for a child it has told to end.
    """

    def __init__(self, host: ExecutorHost) -> None:
        self._host = host
        self._masks = threading.local()

    def before(self) -> None:
        self._masks.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OWN_SIGNALS)

    def after_in_parent(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.mask)

    def after_in_child(self) -> None:
        self._host.close()
        for number in _OWN_SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.mask)


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
