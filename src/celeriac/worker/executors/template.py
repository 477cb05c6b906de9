"""The template: a process that imports the app once and forks executors from it (docs/adr/0005).

Run as `python -m celeriac.worker.executors.template FD`. It has one thread of its own, runs no task, and ends when
its supervisor does. POSIX only.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from collections import deque
from types import FrameType
from typing import TYPE_CHECKING, Final

from celeriac.worker.executors.child import import_app, leave_to_supervisor, run_executor
from celeriac.worker.ipc import (
    TO_TEMPLATE,
    BlockingChannel,
    ExecutorSetup,
    Exited,
    TemplateFailed,
    TemplateReady,
    TemplateSetup,
)

if TYPE_CHECKING:
    from celeriac.app import Celeriac

#: Lines of an import error that are passed on to the supervisor.
_TRACEBACK_LINES: Final = 12


class Template:
    """Forks executors on request and tells how they ended."""

    def __init__(self, sock: socket.socket) -> None:
        self._channel = BlockingChannel(sock, TO_TEMPLATE)
        self._children: set[int] = set()
        self._requests: deque[ExecutorSetup] = deque()
        self._descriptors: deque[int] = deque()

    def run(self) -> int:
        """Serve until the supervisor hangs up. Returns the exit code."""
        worker = self._read_setup()
        if worker is None:
            return 1
        leave_to_supervisor()
        try:
            app = import_app(worker)
        except Exception:  # noqa: BLE001 - whatever the user's modules raise: the supervisor logs it
            lines = traceback.format_exc().strip().splitlines()
            self._channel.send(TemplateFailed("\n".join(lines[-_TRACEBACK_LINES:])))
            return 1
        gc.collect()
        gc.freeze()  # what is imported stays shared: the collector of a child does not write to it
        self._channel.send(TemplateReady())
        self._serve(app, worker)
        return 0

    def _read_setup(self) -> TemplateSetup | None:
        """The first frame. Requests may come in the same read, and their descriptors would be lost to a plain one."""
        while True:
            frames, descriptors = self._channel.receive_with_sockets()
            if frames is None:
                return None
            self._descriptors.extend(descriptors)
            self._requests.extend(frame for frame in frames if isinstance(frame, ExecutorSetup))
            for frame in frames:
                if isinstance(frame, TemplateSetup):
                    return frame

    def _serve(self, app: Celeriac, worker: TemplateSetup) -> None:
        read_end, write_end = socket.socketpair()
        read_end.setblocking(False)
        write_end.setblocking(False)
        signal.set_wakeup_fd(write_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake_up)
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel.fileno(), selectors.EVENT_READ)
            selector.register(read_end, selectors.EVENT_READ)
            self._fork_requested(app, worker, selector, (read_end, write_end))
            while True:
                for key, _events in selector.select():
                    if key.fileobj is read_end:
                        read_end.recv(4096)
                        self._reap()
                    elif not self._obey(app, worker, selector, (read_end, write_end)):
                        signal.set_wakeup_fd(-1)  # its socket closes with this frame
                        self._kill_children()
                        return

    def _obey(
        self,
        app: Celeriac,
        worker: TemplateSetup,
        selector: selectors.BaseSelector,
        own_sockets: tuple[socket.socket, ...],
    ) -> bool:
        frames, descriptors = self._channel.receive_with_sockets()
        if frames is None:
            return False
        self._descriptors.extend(descriptors)
        self._requests.extend(frame for frame in frames if isinstance(frame, ExecutorSetup))
        self._fork_requested(app, worker, selector, own_sockets)
        return True

    def _fork_requested(
        self,
        app: Celeriac,
        worker: TemplateSetup,
        selector: selectors.BaseSelector,
        own_sockets: tuple[socket.socket, ...],
    ) -> None:
        while self._requests and self._descriptors:
            setup, descriptor = self._requests.popleft(), self._descriptors.popleft()
            try:
                pid = os.fork()
            except OSError as error:
                print(f"celeriac: can not start an executor: {error}", file=sys.stderr)
                os.close(descriptor)  # the supervisor sees it hang up, and tries again after a while
                continue
            if pid == 0:
                selector.close()
                for other in own_sockets:
                    other.close()
                for unrelated in self._descriptors:
                    os.close(unrelated)
                self._channel.close()
                _become_executor(app, worker, setup, descriptor)
            os.close(descriptor)
            self._children.add(pid)

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)
                self._channel.send(Exited(pid, os.waitstatus_to_exitcode(status)))

    def _kill_children(self) -> None:
        """The supervisor is gone: what runs now can settle nothing, and others will run it again."""
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)


def _wake_up(_number: int, _frame: FrameType | None) -> None:
    """The signal's number arrives on the wake-up socket; a handler must exist for that."""


def _become_executor(app: Celeriac, worker: TemplateSetup, setup: ExecutorSetup, descriptor: int) -> None:
    """The rest of a forked child's life. Never returns into the template's code."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)  # a task that kills its process group shall hit its own processes only
        run_executor(app, socket.socket(fileno=descriptor), setup, worker)
        code = 0
    except BaseException:  # noqa: BLE001 - the child must not go on as a second template, whatever happens
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(Template(socket.socket(fileno=int(sys.argv[1]))).run())
