"""Celery with two prefork processes: on the transports that need no server, on Redis and on RabbitMQ."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.peers.base import ON_RABBITMQ, WITH_RESULTS, Peer

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
    workflows="benchmarks.apps.celery_workflows",
    variables={"BENCH_CELERY": "redis"},
    speed=0.1,
    fleet_worker=("celery", "-A", _APP, "worker", "-P", "prefork", "-c", "1", "-l", "warning", "-n", "w{number}@%h"),
    fleet_sizes=(2, 4, 8),
    server="redis",
)
RABBITMQ: Final = replace(
    SQLA,
    name="celery-rabbitmq",
    setup="RabbitMQ, classic queues, no confirms (its default), results by rpc, 2 processes",
    variables={"BENCH_CELERY": "amqp"},
    speed=0.3,
    server="rabbitmq",
    queue_type="classic",
    only=ON_RABBITMQ,
)
RABBITMQ_CONFIRMED: Final = replace(
    RABBITMQ,
    name="celery-confirmed",
    setup="RabbitMQ, classic queues, confirm_publish",
    variables={"BENCH_CELERY": "amqp", "BENCH_CONFIRM": "1"},
    only=frozenset(("enqueue",)),
)
RABBITMQ_AND_REDIS: Final = replace(
    RABBITMQ,
    name="celery-rabbitmq-redis",
    setup="RabbitMQ, classic queues, no confirms, results on Redis, 2 processes",
    results_server="redis",
    only=WITH_RESULTS,
)
RABBITMQ_QUORUM: Final = replace(
    RABBITMQ,
    name="celery-quorum",
    setup="RabbitMQ, quorum queues (task_default_queue_type), no confirms, results by rpc, 2 processes",
    queue_type="quorum",
)
