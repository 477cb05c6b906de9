"""Process trees as Linux' /proc tells them: members, processor time, memory; and how to end one.

A worker is started as leader of a session of its own, so its tree is that session plus all descendants. Knows
nothing of task queues.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Stat:
    """One line of /proc/<pid>/stat. `cpu` is seconds, its own and that of children it has waited for."""

    pid: int
    state: str
    parent: int
    session: int
    cpu: float


def read_stat(pid: int) -> Stat | None:
    """The process's figures, or None when it is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    cpu = sum(int(field) for field in fields[11:15]) / _TICK
    return Stat(pid, fields[0], int(fields[1]), int(fields[3]), cpu)


def _all_processes() -> list[Stat]:
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [stat for pid in pids if (stat := read_stat(pid)) is not None]


def tree(root: int) -> list[Stat]:
    """The living members of `root`'s session and all descendants of `root`, zombies left out."""
    processes = _all_processes()
    members = {stat.pid for stat in processes if root in (stat.session, stat.pid)}
    grown = True
    while grown:
        more = {stat.pid for stat in processes if stat.parent in members} - members
        members |= more
        grown = bool(more)
    return [stat for stat in processes if stat.pid in members and stat.state != "Z"]


def in_sessions(sessions: set[int]) -> list[Stat]:
    """Living processes of these sessions: orphans keep theirs when they have lost their place in the tree."""
    return [stat for stat in _all_processes() if stat.session in sessions and stat.state != "Z"]


def tree_cpu(root: int) -> float:
    """Seconds of user and system time that the tree has used, children that have ended included."""
    return sum(stat.cpu for stat in tree(root))


def tree_pss(root: int) -> float:
    """Proportional set size of the tree in MiB: shared pages are divided among those who share them."""
    total = 0
    for stat in tree(root):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in (_PROC / str(stat.pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def start(command: list[str], *, env: dict[str, str], cwd: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start `command` as the leader of a new session, its output going to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def stop(root: subprocess.Popen[bytes], *, grace: float = 5.0) -> bool:
    """End a tree: TERM to its root, KILL to what is left after `grace` seconds.

    Returns:
        True when the root ended by itself.
    """
    members = tree(root.pid)
    root.terminate()
    try:
        root.wait(grace)
        by_itself = True
    except subprocess.TimeoutExpired:
        by_itself = False
    if by_itself and not wait_gone([stat.pid for stat in members], grace=1.0):
        return True
    kill_tree(root, [stat.pid for stat in members])
    return by_itself


def kill_tree(root: subprocess.Popen[bytes], more: list[int]) -> None:
    """SIGKILL to the tree of `root` and to `more`; wait for the root."""
    for pid in {stat.pid for stat in tree(root.pid)} | set(more):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    root.wait(5.0)


def wait_gone(pids: list[int], *, grace: float) -> list[int]:
    """Wait until no process of `pids` is left, `grace` seconds at most.

    Returns:
        Those that still live.
    """
    until = time.monotonic() + grace
    while True:
        left = [pid for pid in pids if (stat := read_stat(pid)) is not None and stat.state != "Z"]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.02)
