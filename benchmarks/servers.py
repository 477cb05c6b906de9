"""A private Redis server for the peers that need one: a free port, nothing written to disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.environments import HOME
from benchmarks.process import start, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES = ("redis-tools", "libjemalloc2", "liblzf1", "libatomic1")
_FETCHED = HOME / "redis-server"


def find_redis() -> str | None:
    """The path of `redis-server`: the machine's, or the one that `fetch_redis` has unpacked."""
    fetched = _FETCHED / "usr" / "bin" / "redis-server"
    return shutil.which("redis-server") or (str(fetched) if fetched.exists() else None)


def fetch_redis() -> None:
    """Unpack Debian's redis under `.venvs/bench`; nothing is installed on the machine.

    Raises:
        RuntimeError: there is no apt-get here, or it can not download.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise RuntimeError("no apt-get here: install redis-server by hand, then run again")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["apt-get", "download", *_PACKAGES], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"apt-get download failed (try `apt-get update`): {done.stderr[-300:]}")
        for package in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(_FETCHED)], check=True)
    server = _FETCHED / "usr" / "bin" / "redis-server"
    if not server.exists():
        server.symlink_to("redis-check-rdb")  # one program under several names


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
    program = find_redis()
    if program is None:
        raise RuntimeError("no redis-server; `--fetch-redis` unpacks one")
    port = _free_port()
    libraries = ":".join(str(path) for path in (_FETCHED / "usr" / "lib").glob("*-linux-gnu*"))
    server = start(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
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
