"""The workers that are killed and started again. Knows processes, not tasks."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from benchmarks.process import in_sessions, kill_tree, start, stop, tree, wait_gone

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType

    from benchmarks.chaos.systems import Scene


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: what it hit, when (ns, CLOCK_MONOTONIC, before and after), and the processes that are gone."""

    what: Literal["child", "worker"]
    before: int
    after: int
    pids: frozenset[int]


class Fleet:
    """Workers of two processes each, until `stop` or, when that was not called, the end of the block.

    Args:
        scene: whose workers.
        size: how many.
    """

    def __init__(self, scene: Scene, size: int) -> None:
        self._scene = scene
        self._seen: set[int] = set()
        self._stopped = False
        self._sessions: list[set[int]] = [set() for _ in range(size)]
        self._workers = [self._start(index) for index in range(size)]
        #: Workers that ended by themselves and were started again.
        self.restarted = 0

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        scene = self._scene
        env = scene.variables() | {"CHAOS_WORKER": str(index)}
        return start(scene.worker(index), env=env, cwd=scene.folder, log=scene.folder / f"worker{index}.log")

    def _members(self, index: int) -> set[int]:
        """The worker's processes, with those whose parent was killed: they keep the session they were born in."""
        family = tree(self._workers[index].pid)
        self._sessions[index] |= {stat.session for stat in family}
        members = {stat.pid for stat in family} | {stat.pid for stat in in_sessions(self._sessions[index])}
        self._seen |= members
        return members

    def check(self) -> None:
        """Start workers again that have ended by themselves, if that is to be done.

        Raises:
            RuntimeError: a worker ended that nobody killed and that is not to be started again; the end of its log is
                in the message.
        """
        for index, worker in enumerate(self._workers):
            if worker.poll() is None:
                continue
            if not self._scene.system.restarts:
                tail = (self._scene.folder / f"worker{index}.log").read_text(errors="replace")[-800:]
                raise RuntimeError(f"worker {index} ended with code {worker.returncode}: {tail}")
            self._workers[index] = self._start(index)
            self._sessions[index] = set()
            self.restarted += 1

    def kill(self, chance: random.Random) -> Kill:
        """SIGKILL to a random child of a random worker, or to the worker itself, which is then started again."""
        index = chance.randrange(len(self._workers))
        return self.kill_worker(index) if chance.random() < 0.5 else self.kill_child(index, chance)

    def kill_worker(self, index: int) -> Kill:
        """Kill the parent process of one worker; its children are left to notice."""
        worker = self._workers[index]
        members = self._members(index)
        before = time.monotonic_ns()
        worker.kill()
        worker.wait(5)
        killed = Kill("worker", before, time.monotonic_ns(), frozenset(members))
        self._workers[index] = self._start(index)
        self._sessions[index] = set()
        return killed

    def kill_child(self, index: int, chance: random.Random) -> Kill:
        """Kill one process below a worker; the worker is to replace it."""
        victim = chance.choice(self._children(index))
        below = {stat.pid for stat in tree(self._workers[index].pid) if stat.parent == victim}
        before = time.monotonic_ns()
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        wait_gone([victim], grace=1.0)
        after = time.monotonic_ns()
        survivors = wait_gone(sorted(below), grace=0.5)  # the template may be lost without its executors
        return Kill("child", before, after, frozenset({victim} | below.difference(survivors)))

    def _children(self, index: int) -> list[int]:
        """The processes below a worker.

        Raises:
            RuntimeError: there are none for 20 s.
        """
        until = time.monotonic() + 20
        while not (children := sorted(self._members(index) - {self._workers[index].pid})):
            if time.monotonic() > until:
                raise RuntimeError(f"worker {index} has no processes")
            self.check()
            time.sleep(0.05)
        return children

    def stop(self) -> list[int]:
        """Stop all workers as a user would.

        Returns:
            Processes that were still there 5 s after all workers had ended, killed now.
        """
        self._stopped = True
        for index in range(len(self._workers)):
            self._members(index)
        for worker in self._workers:
            stop(worker, grace=10.0)
        left = wait_gone(sorted(self._seen), grace=5.0)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what has not been stopped: a run has failed."""
        if not self._stopped:
            for index, worker in enumerate(self._workers):
                kill_tree(worker, sorted(self._members(index)))
