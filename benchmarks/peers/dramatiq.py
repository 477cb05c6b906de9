"""dramatiq on Redis."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.base import Peer

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
