"""taskiq on a Redis stream."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.base import Peer

_WORKER: Final = ("taskiq", "worker", "benchmarks.apps.taskiq_app:broker", "--log-level", "WARNING")

REDIS: Final = Peer(
    name="taskiq",
    setup="Redis stream, 2 processes, uvloop",
    distribution="taskiq",
    environment="taskiq-0.13.0",
    requirements=("taskiq==0.13.0", "taskiq-redis==1.2.4", "uvloop==0.23.0"),
    imports="from taskiq_redis import RedisStreamBroker",
    app="benchmarks.apps.taskiq_app",
    worker=(*_WORKER, "--workers", "2"),
    coroutine_worker=(*_WORKER, "--workers", "1", "--max-async-tasks", "1000"),
    speed=0.3,
    features=frozenset(("version", "results", "coroutines")),
    server="redis",
)
