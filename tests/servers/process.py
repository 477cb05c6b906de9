"""One server process: started on a port of its own, killed, paused, and never left behind.

Knows how a process and a port are handled, not what the server speaks: the subclass says how it answers.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: Seconds for a server to answer after its start, or to end.
DEADLINE: Final = 20.0

# The kernel kills the server when the process that started it is gone, however that one ended. (Strictly: when the
# thread that started it has ended; so a server is started by a thread that outlives it.) prctl survives exec.
_LAUNCHER: Final = """
import os, sys
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class ServerFailed(Exception):
    """A server did not start, does not answer or does not end; the end of its log is in the text."""


def free_port() -> int:
    """A loopback port that is free now, from a range in which the system gives none away to clients.

    A server that is killed finds such a port free again when it comes back.
    """
    for _ in range(100):
        port = random.randint(20_000, 29_999)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise ServerFailed("no free port between 20000 and 29999 in 100 attempts")


class ServerProcess:
    """A process with a log file, to be started, killed, paused and started again.

    Args:
        command: the program and its arguments; the program as an absolute path.
        folder: its working folder; the log is written there too.
        environment: variables that it gets instead of this process's.
        log: the name of its log file.
    """

    def __init__(
        self,
        command: list[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        log: str = "server.log",
    ) -> None:
        self._command = command
        self._folder = folder
        self._environment = environment
        self._log = folder / log
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            ServerFailed: it is not running.
        """
        return self._running().pid

    def start(self) -> None:
        """Start the process, whether it answers or not."""
        own = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *self._command]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                own,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        """Whether there is no process, or it has ended by itself."""
        return self._process is None or self._process.poll() is not None

    def pause(self) -> None:
        """Stop the process where it stands (SIGSTOP): connections stay open and nothing is answered."""
        self._running().send_signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let a paused process go on."""
        self._running().send_signal(signal.SIGCONT)
        self._paused = False

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._process = None
            self._paused = False

    def stop(self) -> None:
        """SIGTERM, as a service manager would; SIGKILL when that has not ended it by the deadline."""
        if self._process is None:
            return
        if self._paused:
            self.resume()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(DEADLINE)
        self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerFailed("the server is not running")
        return self._process
