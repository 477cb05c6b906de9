"""Loopback ports: one that is free, and whether somebody listens on one. Knows no server."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lasting_port() -> int:
    """A port from a range of which the system gives none away: it is free again for a server that comes back.

    Raises:
        RuntimeError: there is none.
    """
    for _ in range(100):
        port = random.randint(20_000, 29_999)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError("no free port between 20000 and 29999")


def wait_listens(port: int, process: subprocess.Popen[bytes], name: str, limit: float) -> None:
    """Wait until `process` accepts connections, `limit` seconds at most.

    Raises:
        RuntimeError: it does not, or has ended; `name` is in the text.
    """
    until = time.monotonic() + limit
    while not _listens(port):
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with code {process.returncode}")
        if time.monotonic() > until:
            raise RuntimeError(f"{name} does not answer within {limit:.0f} s")
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
