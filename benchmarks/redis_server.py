"""A private Redis server for the peers that need one: a free port, nothing written to disk."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from scripts.servers import REDIS, find_program

from benchmarks.ports import free_port, wait_listens
from benchmarks.process import start, stop
from benchmarks.redis_meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[Meter]:
    """Run a server for the time of the block.

    Raises:
        RuntimeError: there is no server, or it does not answer within 5 s.
    """
    program = find_program(REDIS)
    if program is None:
        raise RuntimeError("no redis-server; scripts/install-servers unpacks one")
    port = free_port()
    server = start(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        env=dict(os.environ),
        cwd=folder,
        log=folder / "redis.log",
    )
    try:
        wait_listens(port, server, "redis-server", limit=5)
        with contextlib.closing(Meter(f"redis://127.0.0.1:{port}/0")) as meter:
            yield meter
    finally:
        stop(server)
