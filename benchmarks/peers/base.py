"""What the harness must know of a task queue to measure it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: Things not every peer has; scenarios name those they need.
Feature = Literal["version", "results", "future", "coroutines"]

ALL: frozenset[Feature] = frozenset(("version", "results", "future", "coroutines"))


@dataclass(frozen=True)
class Peer:
    """One task queue in one setup.

    Attributes:
        name: what `--only` and the columns say.
        setup: the setup in a few words, for the report.
        distribution: its name on PyPI.
        environment: the folder of its virtual environment under `.venvs/bench`.
        requirements: what is installed there, pinned.
        imports: the import statement that a program of the peer's user begins with.
        app: the module of `benchmarks.apps` with its tasks and its port.
        worker: the command that starts a worker of two processes; the program comes from the environment.
        coroutine_worker: the command for a worker that runs 1,000 coroutines at a time, where there is one.
        variables: environment variables of its own.
        speed: by how much counts are multiplied, so that a slow peer does not take all the time.
        features: what it can do.
        server: what must run beside it.
    """

    name: str
    setup: str
    distribution: str
    environment: str
    requirements: tuple[str, ...]
    imports: str
    app: str
    worker: tuple[str, ...]
    coroutine_worker: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    speed: float = 1.0
    features: frozenset[Feature] = ALL - {"coroutines"}
    server: Literal["redis"] | None = None

    def count(self, count: int) -> int:
        """`count`, scaled to what this peer does in a comparable time; at least 20."""
        return max(20, int(count * self.speed))
