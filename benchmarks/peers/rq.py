"""RQ on Redis."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.base import Peer

REDIS: Final = Peer(
    name="rq",
    setup="Redis, pool of 2 workers, a fork for each job (its default)",
    distribution="rq",
    environment="rq-3.0.0",
    requirements=("rq==3.0.0",),
    imports="from rq import Queue",
    app="benchmarks.apps.rq_app",
    worker=("rq", "worker-pool", "--quiet", "--num-workers", "2", "--url", "{broker}", "bench"),
    speed=0.02,
    features=frozenset(("version", "results")),
    server="redis",
)
