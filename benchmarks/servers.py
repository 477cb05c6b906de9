"""A private Redis server for the peers that need one: a free port, nothing written to disk."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

from scripts.servers import REDIS, find_program

from benchmarks.process import start, stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a server for the time of the block; its URL.

    Raises:
        RuntimeError: there is no server, or it does not answer within 5 s.
    """
    program = find_program(REDIS)
    if program is None:
        raise RuntimeError("no redis-server; scripts/install-servers unpacks one")
    port = _free_port()
    server = start(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        env=dict(os.environ),
        cwd=folder,
        log=folder / "redis.log",
    )
    try:
        _wait_answer(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        stop(server)


def _wait_answer(port: int) -> None:
    until = time.monotonic() + 5
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            if time.monotonic() > until:
                raise RuntimeError("redis-server does not answer within 5 s") from None
            time.sleep(0.02)
