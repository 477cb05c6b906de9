"""streaq on Redis streams."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.base import Peer

REDIS: Final = Peer(
    name="streaq",
    setup="Redis streams, 2 processes of 16 coroutines (its default), uvloop",
    distribution="streaq",
    environment="streaq-7.2.0",
    requirements=("streaq==7.2.0", "uvloop==0.23.0"),
    imports="from streaq import Worker",
    app="benchmarks.apps.streaq_app",
    worker=("streaq", "run", "benchmarks.apps.streaq_app:worker", "--workers", "2"),
    speed=0.3,
    features=frozenset(("version", "results", "future")),
    server="redis",
)
