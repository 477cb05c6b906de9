"""Celery with two prefork processes on the transports that need no server, and on Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.peers.base import Peer

_APP: Final = "benchmarks.apps.celery_app"

SQLA: Final = Peer(
    name="celery-sqla",
    setup="SQLAlchemy on SQLite, 2 processes",
    distribution="celery",
    environment="celery-5.7.0",
    requirements=("celery[sqlalchemy,redis]==5.7.0",),
    imports="from celery import Celery",
    app=_APP,
    worker=("celery", "-A", _APP, "worker", "-P", "prefork", "-c", "2", "-l", "warning"),
    variables={"BENCH_CELERY": "sqla"},
    speed=0.02,
    features=frozenset(("version", "results", "future")),
)
FILESYSTEM: Final = replace(
    SQLA,
    name="celery-filesystem",
    setup="filesystem, 2 processes",
    variables={"BENCH_CELERY": "filesystem"},
    speed=0.1,
)
REDIS: Final = replace(
    SQLA,
    name="celery-redis",
    setup="Redis, 2 processes",
    variables={"BENCH_CELERY": "redis"},
    speed=0.1,
    fleet_worker=("celery", "-A", _APP, "worker", "-P", "prefork", "-c", "1", "-l", "warning", "-n", "w{number}@%h"),
    fleet_sizes=(2, 4, 8),
    server="redis",
)
