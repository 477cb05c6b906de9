"""The task queues that are measured. The first is what the others are compared with."""

from __future__ import annotations

from typing import Final

from benchmarks.peers import amqp_clients, ardiq, arq, celeriac, celery, dramatiq, huey, rq, saq, streaq, taskiq
from benchmarks.peers.base import Peer

PEERS: Final[dict[str, Peer]] = {
    peer.name: peer
    for peer in (
        celeriac.PREFORK,
        celeriac.THREADS,
        huey.PROCESSES,
        huey.THREADS,
        huey.SYNCED,
        celery.SQLA,
        celery.FILESYSTEM,
        celeriac.REDIS,
        celery.REDIS,
        dramatiq.REDIS,
        huey.REDIS,
        taskiq.REDIS,
        saq.REDIS,
        streaq.REDIS,
        arq.REDIS,
        rq.REDIS,
        ardiq.REDIS,
        ardiq.PLAIN,
        celeriac.RABBITMQ,
        celery.RABBITMQ,
        celery.RABBITMQ_CONFIRMED,
        dramatiq.RABBITMQ,
        dramatiq.RABBITMQ_CONFIRMED,
        celeriac.RABBITMQ_AND_REDIS,
        celery.RABBITMQ_AND_REDIS,
        dramatiq.RABBITMQ_AND_REDIS,
        celeriac.RABBITMQ_QUORUM,
        celery.RABBITMQ_QUORUM,
        dramatiq.RABBITMQ_QUORUM,
        amqp_clients.PYAMQP,
        amqp_clients.PYAMQP_CELERIAC,
        amqp_clients.PIKA,
        amqp_clients.PIKA_SELECT,
        amqp_clients.AIORMQ,
    )
}

#: What runs when no peer is named, for each `--broker`.
DEFAULT: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": ("celeriac", "huey", "huey-threads", "celery-sqla"),
    "redis": tuple(name for name, peer in PEERS.items() if peer.server == "redis"),
    "rabbitmq": tuple(
        name for name, peer in PEERS.items() if peer.server == "rabbitmq" and "client" not in peer.features
    ),
    "rabbitmq-clients": tuple(name for name, peer in PEERS.items() if "client" in peer.features),
}

__all__ = ["DEFAULT", "PEERS", "Peer"]
