"""The journal: a file to which every task appends when it starts and when it ends, so that its effects can be counted.

Owns the lines and their reading. One line is one `write` to a file opened with O_APPEND, so lines of killed processes
are whole or absent. Times are CLOCK_MONOTONIC, which all processes of a machine share. Runs inside the task queues that
are compared, so it needs nothing but the standard library.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass
class Run:
    """One run of a task: who, when (ns), when it ended (None: it did not), and by which worker of the fleet.

    `again`: its message was in the hands of a worker before; of a task that knows.
    """

    number: int
    pid: int
    started: int
    ended: int | None = None
    worker: int = 0
    again: bool = False


@cache
def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def note(path: Path, event: str, number: int, worker: int = 0, *, again: bool = False) -> None:
    """Append one line: `S` at a start, `E` at an end."""
    os.write(_open(path), f"{event} {number} {os.getpid()} {time.monotonic_ns()} {worker} {again:d}\n".encode())


def read(path: Path) -> list[Run]:
    """All runs so far, in the order of their starts."""
    runs: list[Run] = []
    open_runs: dict[tuple[int, int], Run] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        event, number, pid, at, worker, again = line.split()
        key = (int(number), int(pid))
        if event == "S":
            open_runs[key] = Run(*key, int(at), worker=int(worker), again=again == "1")
            runs.append(open_runs[key])
        else:
            open_runs.pop(key).ended = int(at)
    return runs


def ended(path: Path) -> set[int]:
    """The tasks whose effect is there."""
    return {run.number for run in read(path) if run.ended is not None}
