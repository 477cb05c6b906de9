"""The task queues that are measured. The first is what the others are compared with."""

from __future__ import annotations

from typing import Final

from benchmarks.peers import celeriac, celery, dramatiq, huey, rq, taskiq
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
        celery.REDIS,
        dramatiq.REDIS,
        taskiq.REDIS,
        rq.REDIS,
    )
}

#: What runs when nothing is named.
DEFAULT: Final = ("celeriac", "huey", "huey-threads", "celery-sqla")

__all__ = ["DEFAULT", "PEERS", "Peer"]
