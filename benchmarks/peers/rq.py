"""RQ on Redis, with the worker that its documentation recommends for speed: no fork for each job."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.base import Peer

REDIS: Final = Peer(
    name="rq",
    setup="Redis, pool of 2 workers, jobs in the worker's own process",
    distribution="rq",
    environment="rq-3.0.0",
    requirements=("rq==3.0.0",),
    imports="from rq import Queue",
    app="benchmarks.apps.rq_app",
    worker=(
        *("rq", "worker-pool", "--quiet", "--num-workers", "2", "--url", "{broker}"),
        *("--worker-class", "rq.SimpleWorker", "bench"),
    ),
    speed=0.1,
    features=frozenset(("version", "results")),
    server="redis",
)
