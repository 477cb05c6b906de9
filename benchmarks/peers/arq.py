"""arq on Redis."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.base import Peer

_APP: Final = "benchmarks.apps.arq_app"

REDIS: Final = Peer(
    name="arq",
    setup="Redis, 2 processes of 100 coroutines, uvloop",
    distribution="arq",
    environment="arq-0.28.0",
    requirements=("arq==0.28.0", "uvloop==0.23.0"),
    imports="from arq import create_pool",
    app=_APP,
    worker=(
        *("python", "-m", "benchmarks.apps.pair"),
        *("arq", f"{_APP}.Settings", "--custom-log-dict", f"{_APP}.LOGGING"),
    ),
    speed=0.05,
    features=frozenset(("results", "future")),
    server="redis",
)
