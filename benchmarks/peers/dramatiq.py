"""dramatiq on Redis and on RabbitMQ."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.peers.base import ON_RABBITMQ, WITH_RESULTS, Peer

REDIS: Final = Peer(
    name="dramatiq",
    setup="Redis, 2 processes of 8 threads (its default)",
    distribution="dramatiq",
    environment="dramatiq-2.2.1",
    requirements=("dramatiq[redis]==2.2.1",),
    imports="import dramatiq",
    app="benchmarks.apps.dramatiq_app",
    worker=("dramatiq", "benchmarks.apps.dramatiq_app", "--processes", "2"),
    speed=0.3,
    features=frozenset(("version", "results", "future")),
    server="redis",
)
RABBITMQ: Final = replace(
    REDIS,
    name="dramatiq-rabbitmq",
    setup="RabbitMQ, classic queues, no confirms (its default), 2 processes of 8 threads (its default)",
    environment="dramatiq-rabbitmq-2.2.1",
    requirements=("dramatiq[rabbitmq,redis]==2.2.1",),
    speed=1,
    server="rabbitmq",
    queue_type="classic",
    only=ON_RABBITMQ - WITH_RESULTS,
)
RABBITMQ_CONFIRMED: Final = replace(
    RABBITMQ,
    name="dramatiq-confirmed",
    setup="RabbitMQ, classic queues, confirm_delivery",
    variables={"BENCH_CONFIRM": "1"},
    only=frozenset(("enqueue",)),
)
RABBITMQ_AND_REDIS: Final = replace(
    RABBITMQ,
    name="dramatiq-rabbitmq-redis",
    setup="RabbitMQ, classic queues, no confirms, results on Redis, 2 processes of 8 threads",
    results_server="redis",
    only=WITH_RESULTS,
)
#: It has no setting for it; the virtual host's default makes all its queues quorum queues, the delayed ones too.
RABBITMQ_QUORUM: Final = replace(
    RABBITMQ,
    name="dramatiq-quorum",
    setup="RabbitMQ, quorum queues (the virtual host's default), no confirms, 2 processes of 8 threads",
    queue_type="quorum",
)
