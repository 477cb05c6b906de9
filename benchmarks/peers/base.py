"""What the harness must know of a task queue to measure it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from benchmarks.servers import Kind

#: Things not every peer has; scenarios name those they need.
Feature = Literal[
    "version",
    "results",
    "future",
    "coroutines",
    "workflows",
    "large workflows",
    "million",
    "fleet",
    "server",
    "redis",
    "rabbitmq",
    "client",
]

#: What Celeriac can do on any broker.
ALL: frozenset[Feature] = frozenset(("version", "results", "future", "coroutines"))

#: Scenarios of those that have another setup beside them, with results on Redis, for `WITH_RESULTS`.
ON_RABBITMQ: frozenset[str] = frozenset(("drain", "enqueue", "latency", "due", "due-within", "round-trip", "at-rest"))
WITH_RESULTS: frozenset[str] = frozenset(("drain-results", "round-trip"))


@dataclass(frozen=True)
class Peer:
    """One task queue in one setup.

    Attributes:
        name: what `--only` and the columns say.
        setup: the setup in a few words, for the report.
        distribution: its name on PyPI.
        environment: the folder of its virtual environment under `.venvs/bench`.
        requirements: what is installed there, pinned.
        python: the oldest Python that it runs on, when that is newer than Celeriac's.
        imports: the import statement that a program of the peer's user begins with.
        app: the module of `benchmarks.apps` with its tasks and its port.
        worker: the command that starts a worker of two processes; the program comes from the environment.
        coroutine_worker: the command for a worker that runs 1,000 coroutines at a time, where there is one.
        workflows: the module of `benchmarks.apps` with its words for workflows, where it has Celery's.
        fleet_worker: the command for one idle worker of many, or for `{count}` of them in one process.
        fleet_sizes: how many idle workers are tried.
        variables: environment variables of its own.
        speed: by how much counts are multiplied, so that a slow peer does not take all the time.
        features: what it can do. Some follow from other attributes, see `able`. `million`: send a million tasks,
            future ones too, within minutes. `large workflows`: those of tens of thousands of tasks, within a minute.
        server: what must run beside it.
        results_server: where its results are, when that is another server.
        queue_type: of its queues on RabbitMQ. Peers are compared with the first that has the same.
        only: the scenarios that it is there for; all when empty.
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
    workflows: str = ""
    fleet_worker: tuple[str, ...] = ()
    fleet_sizes: tuple[int, ...] = ()
    python: tuple[int, int] | None = None
    variables: dict[str, str] = field(default_factory=dict)
    speed: float = 1.0
    features: frozenset[Feature] = ALL - {"coroutines"}
    server: Kind | None = None
    results_server: Kind | None = None
    queue_type: Literal["classic", "quorum"] | None = None
    only: frozenset[str] = frozenset()

    def count(self, count: int) -> int:
        """`count`, scaled to what this peer does in a comparable time; at least 20."""
        return max(20, int(count * self.speed))

    @property
    def servers(self) -> list[Kind]:
        """All that must run beside it."""
        return [kind for kind in (self.server, self.results_server) if kind is not None]

    def able(self, needs: frozenset[Feature]) -> bool:
        """Whether it has all of `needs`."""
        own: set[Feature] = set(self.features)
        if self.server is not None:
            own.update(("server", self.server))
        if self.fleet_worker:
            own.add("fleet")
        if self.workflows:
            own.add("workflows")
        return needs <= own
