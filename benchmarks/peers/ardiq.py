"""ArdiQ on Redis streams; it runs on Python 3.12 and newer only."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.peers.base import Peer

REDIS: Final = Peer(
    name="ardiq",
    setup="Redis streams, 2 processes of 100 coroutines, uvloop",
    distribution="ardiq",
    environment="ardiq-1.2.0",
    requirements=("ardiq==1.2.0", "uvloop==0.23.0"),
    python=(3, 12),
    imports="from ardiq import Ardiq",
    app="benchmarks.apps.ardiq_app",
    worker=("ardiq", "run", "benchmarks.apps.ardiq_app:app", "--workers", "2", "--quiet"),
    speed=1,
    features=frozenset(("results", "future")),
    server="redis",
)
PLAIN: Final = replace(
    REDIS,
    name="ardiq-plain",
    setup="as ardiq, with plain functions, which it runs in threads",
    variables={"BENCH_ARDIQ": "plain"},
)
