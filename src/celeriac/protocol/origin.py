"""The name of this process in the header `origin`: `gen<pid>@<host>`, as Celery writes it."""

from __future__ import annotations

import os

# The host's name is asked for once; the pid each time, as executors are forked.
_cached: tuple[int, str] = (0, "")


def host_name() -> str:
    """This machine's name."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket  # noqa: PLC0415 - start-up time

    return socket.gethostname()


def process_name() -> str:
    """Return `gen<pid>@<host>`."""
    global _cached
    pid = os.getpid()
    known_pid, name = _cached
    if known_pid != pid:
        name = f"gen{pid}@{host_name()}"
        _cached = (pid, name)
    return name
