"""Celeriac from the working tree, with its pools, on SQLite, on Redis and on RabbitMQ."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.peers.base import ALL, ON_RABBITMQ, WITH_RESULTS, Peer

_APP: Final = "benchmarks.apps.celeriac_app"


def _worker(pool: str, concurrency: int) -> tuple[str, ...]:
    return ("celeriac", "-A", _APP, "worker", "-P", pool, "-c", str(concurrency), "-l", "warning")


PREFORK: Final = Peer(
    name="celeriac",
    setup="SQLite, 2 processes",
    distribution="celeriac",
    environment="celeriac-worktree",
    requirements=("--editable", "."),
    imports="from celeriac import Celeriac",
    app=_APP,
    worker=_worker("prefork", 2),
    coroutine_worker=_worker("asyncio", 1000),
    features=ALL,
)
THREADS: Final = replace(PREFORK, name="celeriac-threads", setup="SQLite, 2 threads", worker=_worker("threads", 2))
REDIS: Final = replace(
    PREFORK,
    name="celeriac-redis",
    setup="Redis, 2 processes",
    environment="celeriac-worktree-redis",
    requirements=("--editable", ".[redis]"),
    workflows="benchmarks.apps.celeriac_workflows",
    speed=5,
    features=ALL | {"million", "large workflows"},
    fleet_worker=("python", "-m", "benchmarks.apps.celeriac_idle", "{count}", "{broker}"),
    fleet_sizes=(10, 100, 1000),
    server="redis",
)
RABBITMQ: Final = replace(
    PREFORK,
    name="celeriac-rabbitmq",
    setup="RabbitMQ, classic queues, confirmed, results by rpc, 2 processes",
    environment="celeriac-worktree-rabbitmq",
    requirements=("--editable", ".[rabbitmq,redis]"),
    server="rabbitmq",
    queue_type="classic",
    only=ON_RABBITMQ,
)
RABBITMQ_QUORUM: Final = replace(
    RABBITMQ,
    name="celeriac-quorum",
    setup="RabbitMQ, quorum queues, confirmed, results by rpc, 2 processes",
    queue_type="quorum",
)
RABBITMQ_AND_REDIS: Final = replace(
    RABBITMQ,
    name="celeriac-rabbitmq-redis",
    setup="RabbitMQ, classic queues, confirmed, results on Redis, 2 processes",
    results_server="redis",
    only=WITH_RESULTS,
)
