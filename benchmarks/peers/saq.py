"""SAQ on Redis."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.base import Peer

REDIS: Final = Peer(
    name="saq",
    setup="Redis, 2 processes of 32 coroutines, uvloop",
    distribution="saq",
    environment="saq-0.26.4",
    requirements=("saq[redis,hiredis]==0.26.4", "typing_extensions==4.16.0", "uvloop==0.23.0"),
    imports="from saq import Queue",
    app="benchmarks.apps.saq_app",
    worker=("saq", "benchmarks.apps.saq_app.settings", "--workers", "2"),
    speed=0.3,
    features=frozenset(("results", "future")),
    server="redis",
)
