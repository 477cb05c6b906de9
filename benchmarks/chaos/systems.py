"""The task queues that are tried, each in the setups that are compared, and the scene of a run."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from benchmarks.chaos.app import build
from benchmarks.environments import ROOT, Environment, ensure, variables
from benchmarks.peers import celery, dramatiq

if TYPE_CHECKING:
    from benchmarks.peers.base import Peer
    from celeriac import Celeriac

QueueType = Literal["classic", "quorum"]


@dataclass(frozen=True)
class System:
    """One task queue in one setup.

    Attributes:
        name: in tables and files.
        setup: in a few words.
        app: the module with its tasks and `send`.
        worker: the command of a worker of two processes of one task each; `{number}` is its number in the fleet.
        environment: folder of its virtual environment; empty for Celeriac, which runs in that of this program.
        requirements: what is installed there, pinned.
        distribution: its name on PyPI.
        variables: environment variables of its own.
        queue_type: of Celeriac's queue on RabbitMQ.
        restarts: a worker that ends by itself is started again, as a service manager does; for others it is an error.
    """

    name: str
    setup: str
    app: str
    worker: tuple[str, ...]
    environment: str = ""
    requirements: tuple[str, ...] = ()
    distribution: str = "celeriac"
    variables: dict[str, str] = field(default_factory=dict)
    queue_type: QueueType = "quorum"
    restarts: bool = False

    def home(self) -> Environment | None:
        """Its environment, installed where it is missing; None for Celeriac."""
        return ensure(self.environment, self.requirements) if self.environment else None

    def version(self) -> str:
        """What is installed."""
        home = self.home()
        if home is None:
            from celeriac.version import __version__

            return __version__
        return home.versions()[self.distribution]


@dataclass(frozen=True)
class Scene:
    """Where a run takes place and what its processes are told.

    Attributes:
        folder: for the journal and the logs.
        system: what is tried.
        broker: URL of the broker.
        lease_seconds: Celeriac's `worker_lease_seconds`.
        max_deliveries: Celeriac's `task_max_deliveries`.
        backend: URL of Celeriac's results; None: beside the messages.
    """

    folder: Path
    system: System
    broker: str
    lease_seconds: float = 10.0
    max_deliveries: int = 20
    backend: str | None = "disabled://"

    def variables(self) -> dict[str, str]:
        """The environment of workers and publishers."""
        return variables(
            PYTHONPATH=str(ROOT),
            CHAOS_FOLDER=str(self.folder),
            CHAOS_BROKER=self.broker,
            CHAOS_LEASE_SECONDS=str(self.lease_seconds),
            CHAOS_MAX_DELIVERIES=str(self.max_deliveries),
            CHAOS_BACKEND=self.backend or "",
            CHAOS_QUEUE_TYPE=self.system.queue_type,
            **self.system.variables,
        )

    def app(self) -> Celeriac:
        """Celeriac's app, as its workers have it."""
        return build(
            self.broker,
            lease_seconds=self.lease_seconds,
            max_deliveries=self.max_deliveries,
            backend=self.backend,
            queue_type=self.system.queue_type,
        )

    def python(self) -> str:
        """The interpreter of the system's environment."""
        home = self.system.home()
        return home.python if home else sys.executable

    def worker(self, number: int) -> list[str]:
        """The command that starts one worker."""
        home = self.system.home()
        program, *arguments = self.system.worker
        start = [home.program(program)] if home else [sys.executable, "-m", program]
        return [*start, *(argument.format(number=number) for argument in arguments)]


def _app(name: str) -> str:
    return f"benchmarks.chaos.apps.{name}_app"


def _celery(name: str, setup: str, settings: dict[str, Any], peer: Peer = celery.REDIS) -> System:
    options = ("-P", "prefork", "-c", "2", "-l", "info", "-n", "chaos{number}@%h")
    return System(
        name=name,
        setup=setup,
        app=_app("celery"),
        worker=("celery", "-A", _app("celery"), "worker", *options),
        environment=peer.environment,
        requirements=peer.requirements,
        distribution="celery",
        variables={"CHAOS_CELERY": json.dumps(settings)},
        restarts=True,
    )


CELERIAC: Final = System(
    name="celeriac",
    setup="defaults",
    app=_app("celeriac"),
    worker=(
        *("celeriac", "-A", _app("celeriac"), "worker", "-P", "prefork"),
        *("-c", "2", "-l", "info", "-n", "chaos{number}@%h"),
    ),
)
_LATE: Final = {"task_acks_late": True, "task_reject_on_worker_lost": True}
CELERY: Final = _celery("celery", "defaults", {})
CELERY_LATE: Final = _celery("celery-late", "acks_late, reject_on_worker_lost", _LATE)
CELERY_LATE_10: Final = _celery(
    "celery-late-10s",
    "acks_late, reject_on_worker_lost, visibility_timeout 10 s",
    _LATE | {"broker_transport_options": {"visibility_timeout": 10}},
)
CELERY_LATE_OFTEN: Final = _celery(
    "celery-late-10s-often",
    "acks_late, reject_on_worker_lost, visibility_timeout 10 s, looked after every second",
    _LATE
    | {
        "broker_transport_options": {
            "visibility_timeout": 10,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        }
    },
)
DRAMATIQ: Final = System(
    name="dramatiq",
    setup="defaults, but one thread a process",
    app=_app("dramatiq"),
    worker=("dramatiq", _app("dramatiq"), "--processes", "2", "--threads", "1"),
    environment=dramatiq.REDIS.environment,
    requirements=dramatiq.REDIS.requirements,
    distribution="dramatiq",
    restarts=True,
)
_QUORUM: Final = {"task_default_queue_type": "quorum"}
_ON_RABBITMQ: Final = (
    replace(CELERIAC, setup="defaults (quorum queues)"),
    replace(CELERIAC, name="celeriac-classic", setup="classic queues", queue_type="classic"),
    _celery("celery", "defaults (classic queues)", {}, celery.RABBITMQ),
    _celery("celery-late", "classic queues, acks_late, reject_on_worker_lost", _LATE, celery.RABBITMQ),
    _celery("celery-late-quorum", "quorum queues, acks_late, reject_on_worker_lost", _LATE | _QUORUM, celery.RABBITMQ),
    replace(
        DRAMATIQ,
        setup="defaults (classic queues), but one thread a process",
        environment=dramatiq.RABBITMQ.environment,
        requirements=dramatiq.RABBITMQ.requirements,
    ),
)
#: All that are compared on each server, in the order of the table.
COMPARED: Final = {
    "redis": (CELERIAC, CELERY, CELERY_LATE, CELERY_LATE_10, CELERY_LATE_OFTEN, DRAMATIQ),
    "rabbitmq": _ON_RABBITMQ,
}
