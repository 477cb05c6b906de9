"""The board: a memory-mapped file on which tasks note that they ran, and which the harness reads.

Owns its layout and both sides of it. Tasks of every peer write to it, in environments of their own: standard
library only. A thread takes a slot of its own at its first note, so that no note needs a lock.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Environment variable that names the file.
VARIABLE: Final = "BENCH_BOARD"

_WORD: Final = 8
_HEADER: Final = 8  # word 0: slots taken
_SLOTS: Final = 32_768  # one for each job where a peer forks for each job
_SLOT: Final = 8  # words: done, first start, last end (ns, CLOCK_MONOTONIC)
_SAMPLES_AT: Final = _HEADER + _SLOTS * _SLOT
_SAMPLES: Final = 16_384
_SIZE: Final = (_SAMPLES_AT + _SAMPLES) * _WORD


@dataclass(frozen=True)
class Totals:
    """What all tasks together have noted so far; times in ns of CLOCK_MONOTONIC, 0 when there is none."""

    done: int
    first: int
    last: int

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return (self.last - self.first) / 1e9

    @property
    def rate(self) -> float:
        """Tasks per second between the first and the last."""
        return (self.done - 1) / self.seconds if self.done > 1 and self.last > self.first else 0.0


class Board:
    """One mapped file. The harness makes it with `create`, everybody else opens it by path."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._words = memoryview(mmap.mmap(self._file.fileno(), _SIZE)).cast("q")

    @classmethod
    def create(cls, path: Path) -> Board:
        path.write_bytes(bytes(_SIZE))
        return cls(path)

    def clear(self) -> None:
        """Forget all counts, times and samples; slots stay with their threads."""
        for slot in range(self._words[0]):
            at = _HEADER + slot * _SLOT
            self._words[at] = self._words[at + 1] = self._words[at + 2] = 0
        for index in range(_SAMPLES):
            self._words[_SAMPLES_AT + index] = 0

    def totals(self) -> Totals:
        done, firsts, last = 0, [], 0
        for slot in range(self._words[0]):
            at = _HEADER + slot * _SLOT
            done += self._words[at]
            last = max(last, self._words[at + 2])
            if self._words[at + 1]:
                firsts.append(self._words[at + 1])
        return Totals(done, min(firsts, default=0), last)

    def samples(self, count: int) -> list[int]:
        """The first `count` samples; 0 where none was noted yet."""
        return self._words[_SAMPLES_AT : _SAMPLES_AT + count].tolist()

    def set_sample(self, index: int, value: int) -> None:
        self._words[_SAMPLES_AT + index] = value

    def claim_slot(self) -> Slot:
        """A slot for the calling thread, taken under a file lock."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            slot = self._words[0]
            if slot >= _SLOTS:
                raise RuntimeError(f"more than {_SLOTS} threads ran tasks; enlarge benchmarks.board._SLOTS")
            self._words[0] = slot + 1
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return Slot(self._words, _HEADER + slot * _SLOT)


class Slot:
    """Where one thread counts."""

    def __init__(self, words: memoryview[int], at: int) -> None:
        self._words = words
        self._at = at

    def begin(self) -> None:
        if not self._words[self._at + 1]:
            self._words[self._at + 1] = time.monotonic_ns()

    def finish(self) -> None:
        self._words[self._at + 2] = time.monotonic_ns()
        self._words[self._at] += 1


class _Here(threading.local):
    """The calling thread's board and slot. Forked children start with none."""

    def __init__(self) -> None:
        self.board = Board(Path(os.environ[VARIABLE]))
        self.slot = self.board.claim_slot()


_here: list[_Here] = []
os.register_at_fork(after_in_child=_here.clear)


def here() -> _Here:
    """The board named by the environment, and this thread's slot on it."""
    if not _here:
        _here.append(_Here())
    return _here[0]
