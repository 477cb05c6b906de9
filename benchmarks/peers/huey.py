"""huey on SQLite: processes, threads, and processes with SQLite's default of a sync at each commit; and on Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.peers.base import Peer

_APP: Final = "benchmarks.apps.huey_app"


def _worker(kind: str) -> tuple[str, ...]:
    return ("huey_consumer", f"{_APP}.app", "-k", kind, "-w", "2", "-q")


PROCESSES: Final = Peer(
    name="huey",
    setup="SQLite, no sync, 2 processes",
    distribution="huey",
    environment="huey-3.5.4",
    requirements=("huey==3.5.4",),
    imports="from huey import SqliteHuey",
    app=_APP,
    worker=_worker("process"),
    features=frozenset(("results", "future")),
)
THREADS: Final = replace(PROCESSES, name="huey-threads", setup="SQLite, no sync, 2 threads", worker=_worker("thread"))
SYNCED: Final = replace(
    PROCESSES,
    name="huey-synced",
    setup="SQLite, default sync, 2 processes",
    variables={"BENCH_HUEY_FSYNC": "default"},
    speed=0.2,
)
REDIS: Final = replace(
    PROCESSES,
    name="huey-redis",
    setup="Redis, 2 processes",
    environment="huey-redis-3.5.4",
    requirements=("huey[redis]==3.5.4",),
    speed=0.3,
    server="redis",
)
