"""Celeriac from the working tree, with its two pools."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.peers.base import ALL, Peer

_APP: Final = "benchmarks.apps.celeriac_app"


def _worker(pool: str, concurrency: int) -> tuple[str, ...]:
    return ("celeriac", "-A", _APP, "worker", "-P", pool, "-c", str(concurrency), "-l", "warning")


PREFORK: Final = Peer(
    name="celeriac",
    setup="SQLite, 2 processes",
    distribution="celeriac",
    environment="celeriac-worktree",
    requirements=("--editable", "."),
    imports="from celeriac import Celeriac",
    app=_APP,
    worker=_worker("prefork", 2),
    coroutine_worker=_worker("asyncio", 1000),
    features=ALL,
)
THREADS: Final = replace(PREFORK, name="celeriac-threads", setup="SQLite, 2 threads", worker=_worker("threads", 2))
