"""The name of this process in the header `origin`: `gen<pid>@<host>`, as Celery writes it."""

from __future__ import annotations

import os
import socket

# The host's name is asked for once; the pid each time, as executors are forked.
_cached: tuple[int, str] = (0, "")


def process_name() -> str:
    """Return `gen<pid>@<host>`."""
    global _cached
    pid = os.getpid()
    known_pid, name = _cached
    if known_pid != pid:
        name = f"gen{pid}@{socket.gethostname()}"
        _cached = (pid, name)
    return name
