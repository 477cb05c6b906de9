"""Starting executors, from the supervisor's side, and learning how they ended.

Three launchers: `TemplateLauncher` forks from a template process, `FreshLauncher` starts each one anew (where there is
no fork), `InlineLauncher` hands the socket to the worker's own main thread (`solo`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Final, Protocol

from celeriac.worker.backoff import Backoff
from celeriac.worker.ipc import (
    FROM_TEMPLATE,
    AsyncChannel,
    ExecutorSetup,
    Exited,
    FromTemplate,
    TemplateFailed,
    TemplateReady,
    TemplateSetup,
    encode_frame,
)

logger = logging.getLogger("celeriac.worker")

#: Seconds for a process that has hung up to report its exit status.
_STATUS_SECONDS: Final = 1.0
_MOST_STATUSES: Final = 256
_FIRST_RESTART_SECONDS: Final = 0.05


class Launcher(Protocol):
    """Starts and kills executors."""

    @property
    def is_quick(self) -> bool:
        """The app is imported where executors come from: a new one must be ready in no time."""
        ...

    #: Called with the process id of each executor that has ended, where that is known.
    on_exit: Callable[[int], None]

    async def start(self) -> None:
        """Prepare; cheap, and executors may be launched at once."""
        ...

    def launch(self, setup: ExecutorSetup) -> socket.socket:
        """Start an executor and return the supervisor's end of its socket."""
        ...

    def kill(self, pid: int) -> None:
        """End an executor's process at once (SIGKILL). Where it is this process, do nothing."""
        ...

    def hold(self, pid: int) -> bool:
        """Stop an executor's process where it is. False where that can not be done."""
        ...

    def let_go(self, pid: int) -> None:
        """Let a held process go on."""
        ...

    async def exit_status(self, pid: int) -> int | None:
        """How an executor that hung up has ended: an exit code, minus a signal, or None if that is not known."""
        ...

    async def stop(self) -> None:
        """End all that was started here and is still alive."""
        ...


def _nothing(_pid: int) -> None:
    """Nobody wants to know."""


def describe_status(status: int | None) -> str:
    """`was killed by signal 9 (SIGKILL)`, `exited with code 1`, or `ended without telling how`."""
    if status is None:
        return "ended without telling how"
    if status >= 0:
        return f"exited with code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    return f"was killed by signal {-status} ({name})"


class _ExitStatuses:
    """Statuses by process id, and those who wait for one."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._waiting: dict[int, asyncio.Future[int]] = {}

    def put(self, pid: int, status: int) -> None:
        future = self._waiting.pop(pid, None)
        if future is None:
            self._known[pid] = status
            while len(self._known) > _MOST_STATUSES:  # of executors that nobody asks about
                del self._known[next(iter(self._known))]
        elif not future.done():
            future.set_result(status)

    async def take(self, pid: int) -> int | None:
        if pid in self._known:
            return self._known.pop(pid)
        future = self._waiting[pid] = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(future, _STATUS_SECONDS)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(pid, None)


class TemplateLauncher:
    """Executors forked from a template process that has the app imported.

    Requests made before the template is ready wait in its socket. A template that dies is replaced; its executors live
    on, only their exit status is lost.

    Args:
        setup: what the executors of this worker share.
        on_failed: called with the reason when the app can not be imported there.

    Attributes:
        on_exit: called with the process id of each executor that has ended. Its socket may stay open for longer: a
            process that a task has started can hold a copy.
    """

    def __init__(self, setup: TemplateSetup, on_failed: Callable[[str], None]) -> None:
        self.on_exit: Callable[[int], None] = _nothing
        self._backoff = Backoff(first=_FIRST_RESTART_SECONDS)
        self._setup = setup
        self._on_failed = on_failed
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._channel: AsyncChannel[FromTemplate] | None = None
        self._statuses = _ExitStatuses()
        self._imported = False
        self._stopping = False

    @property
    def is_quick(self) -> bool:
        return self._imported

    def start_process(self) -> None:
        """Start the template; usable before there is an event loop, so that it imports the app meanwhile."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "celeriac.worker.executors.template", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()
        ours.sendall(encode_frame(self._setup))
        self._socket = ours

    async def start(self) -> None:
        if self._socket is None:
            self.start_process()
        assert self._socket is not None
        # A duplicate for asyncio to own: descriptors are sent by hand on the original.
        self._channel = await AsyncChannel.connect(self._socket.dup(), FROM_TEMPLATE, self._on_frames, self._on_lost)

    def launch(self, setup: ExecutorSetup) -> socket.socket:
        assert self._socket is not None
        ours, theirs = socket.socketpair()
        try:
            self._socket.setblocking(True)
            socket.send_fds(self._socket, [encode_frame(setup)], [theirs.fileno()])
            self._socket.setblocking(False)
        except OSError as error:
            # The template has just died; the caller sees its executor hang up and asks again after a while.
            logger.warning("The executor template does not answer: %s", error)
        finally:
            theirs.close()
        return ours

    def kill(self, pid: int) -> None:
        _signal(pid, signal.SIGKILL)

    def hold(self, pid: int) -> bool:
        return _signal(pid, signal.SIGSTOP)

    def let_go(self, pid: int) -> None:
        _signal(pid, signal.SIGCONT)

    async def exit_status(self, pid: int) -> int | None:
        return await self._statuses.take(pid)

    async def stop(self) -> None:
        self._stopping = True
        if self._channel is not None:
            self._channel.close()
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            await asyncio.to_thread(_end_process, self._process)

    def _on_frames(self, frames: list[FromTemplate]) -> bool:
        for frame in frames:
            match frame:
                case TemplateReady():
                    self._imported = True
                    self._backoff.reset()
                    logger.debug("The executor template is ready")
                case TemplateFailed(error):
                    self._on_failed(error)
                case Exited(pid, status):
                    self._statuses.put(pid, status)
                    self.on_exit(pid)
        return False

    def _on_lost(self) -> None:
        if self._stopping:
            return
        logger.error("The executor template ended; starting another")
        self._imported = False
        if self._process is not None:
            self._process.poll()
        if self._socket is not None:
            self._socket.close()
        self._restart = asyncio.get_running_loop().create_task(self._start_again())

    async def _start_again(self) -> None:
        await asyncio.sleep(self._backoff.next())
        if not self._stopping:
            self.start_process()
            await self.start()


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False  # it has ended by itself
    return True


def _end_process(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5.0)


class FreshLauncher:
    """Executors started as new Python processes, each importing the app itself."""

    def __init__(self, setup: TemplateSetup) -> None:
        self._setup = setup
        self.on_exit: Callable[[int], None] = _nothing
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def is_quick(self) -> bool:
        return False  # each one imports the app

    async def start(self) -> None:
        """Nothing to prepare."""

    def launch(self, setup: ExecutorSetup) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            command = [sys.executable, "-m", "celeriac.worker.executors.child", str(theirs.fileno())]
            process = subprocess.Popen(command, close_fds=False)
        self._processes[process.pid] = process
        ours.sendall(encode_frame(self._setup) + encode_frame(setup))
        return ours

    def kill(self, pid: int) -> None:
        process = self._processes.get(pid)
        if process is not None:
            process.kill()

    def hold(self, pid: int) -> bool:
        return hasattr(signal, "SIGSTOP") and _signal(pid, signal.SIGSTOP)

    def let_go(self, pid: int) -> None:
        _signal(pid, signal.SIGCONT)

    async def exit_status(self, pid: int) -> int | None:
        process = self._processes.pop(pid, None)
        if process is None:
            return None
        try:
            return await asyncio.to_thread(process.wait, _STATUS_SECONDS)
        except subprocess.TimeoutExpired:
            self._processes[pid] = process
            return None

    async def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            await asyncio.to_thread(process.wait, 5.0)
        self._processes.clear()


class InlineLauncher:
    """One executor, run by the worker's own main thread.

    Args:
        hand_over: gives the executor's end of the socket to the main thread. Called once.
    """

    def __init__(self, hand_over: Callable[[socket.socket, ExecutorSetup], None]) -> None:
        self.on_exit: Callable[[int], None] = _nothing
        self._hand_over = hand_over

    @property
    def is_quick(self) -> bool:
        return False  # the main thread may be busy

    async def start(self) -> None:
        """Nothing to prepare."""

    def launch(self, setup: ExecutorSetup) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._hand_over(theirs, setup)
        return ours

    def kill(self, pid: int) -> None:
        """The executor is this process: it can not be killed without killing the worker."""

    def hold(self, pid: int) -> bool:  # noqa: ARG002 - the contract
        return False

    def let_go(self, pid: int) -> None:
        """It was not held."""

    async def exit_status(self, pid: int) -> int | None:  # noqa: ARG002 - the contract
        return None

    async def stop(self) -> None:
        """The main thread ends by itself when its socket closes."""
