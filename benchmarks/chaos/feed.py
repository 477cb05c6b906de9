"""Publishing numbered tasks, and knowing which of them have not had their effect yet."""

from __future__ import annotations

import select
import subprocess
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from benchmarks.chaos import journal

if TYPE_CHECKING:
    from benchmarks.chaos.systems import Scene

#: Seconds for one request.
_PATIENCE: Final = 60.0


class Feed:
    """Publishes through a process of its own, from the start of the block to its end.

    Args:
        scene: what is tried, and where.
        seconds: how long each task takes.
    """

    def __init__(self, scene: Scene, seconds: float) -> None:
        self._scene = scene
        self._seconds = seconds
        self._log = (scene.folder / "publisher.log").open("ab")
        self._process = subprocess.Popen(
            [scene.python(), "-m", "benchmarks.chaos.publisher", scene.system.app],
            env=scene.variables(),
            cwd=scene.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        #: Where its tasks note what they do.
        self.journal = scene.folder / "journal"
        #: How many tasks there are; they are numbered from 0.
        self.published = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with suppress(BrokenPipeError):  # of a line that a dead process has not read
            self._process.communicate(timeout=_PATIENCE)
        self._log.close()

    def send(self, count: int) -> None:
        """Publish `count` more.

        Raises:
            RuntimeError: that failed, or was not done within a minute.
        """
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(f"{self.published} {count} {self._seconds}\n".encode())
        requests.flush()
        ready, _, _ = select.select([answers], [], [], _PATIENCE)
        if not ready or answers.readline() != b"done\n":
            tail = (self._scene.folder / "publisher.log").read_text(errors="replace")[-800:]
            raise RuntimeError(f"publishing {count} tasks failed: {tail}")
        self.published += count

    def top_up(self, backlog: int) -> None:
        """Publish as many as are wanting until `backlog` are left."""
        if (wanting := backlog - self.left()) > 0:
            self.send(wanting)

    def left(self) -> int:
        """Tasks without their effect."""
        return self.published - len(journal.ended(self.journal))
