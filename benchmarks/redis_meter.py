"""What a Redis server tells of itself: processor time, memory, traffic, and the commands that clients send it.

Knows no task queue. Commands are counted with MONITOR, which alone tells those that clients send from those that
scripts run inside; the server's own statistics add them up.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import redis

from benchmarks.process import read_stat

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK: Final = b"celeriac-bench-mark"
_BETWEEN: Final = b'" "'  # two arguments; quotes within one have a backslash before them
_PATIENCE: Final = 30.0  # seconds that MONITOR may lag behind


@dataclass
class Commands:
    """Commands by name: those that clients sent, and those that scripts ran inside.

    Attributes:
        sent: by clients.
        inner: inside scripts.
        queued: messages that came to the end of a queue: values of LPUSH, whoever ran it.
    """

    sent: Counter[str] = field(default_factory=Counter)
    inner: Counter[str] = field(default_factory=Counter)
    queued: int = 0

    def note(self, line: bytes) -> None:
        """One line of MONITOR: `+1700000000.1 [0 127.0.0.1:1] "GET" "key"`; inside scripts the address is `lua`."""
        head, _, rest = line.partition(b'"')
        name = rest.partition(b'"')[0].decode(errors="replace").upper()
        (self.inner if b" lua]" in head else self.sent)[name] += 1
        if name == "LPUSH":
            self.queued += rest.count(_BETWEEN) - 1  # the first argument is the key


class Meter:
    """A running server, seen from outside."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self._address = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._client = redis.Redis.from_url(url)
        self._pid = int(self._info("server")["process_id"])

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def version(self) -> str:
        """The server's version."""
        return str(self._info("server")["redis_version"])

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        stat = read_stat(self._pid)
        return stat.cpu if stat else 0.0

    def memory(self) -> int:
        """Bytes that its data takes."""
        return int(self._info("memory")["used_memory"])

    def clients(self) -> int:
        """Open connections."""
        return int(self._info("clients")["connected_clients"])

    def traffic(self) -> int:
        """Bytes that it has received and sent so far."""
        stats = self._info("stats")
        return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])

    def clear(self, queue_type: str | None = None) -> None:  # noqa: ARG002  it has but one kind of queue
        """Empty it: keys, scripts, functions, statistics."""
        for command in ("FLUSHALL", "SCRIPT FLUSH", "CONFIG RESETSTAT", "MEMORY PURGE", "FUNCTION FLUSH"):
            with contextlib.suppress(redis.ResponseError):  # functions came with Redis 7
                self._client.execute_command(*command.split())

    def _info(self, section: str) -> dict[str, Any]:
        return self._client.info(section)

    @contextlib.contextmanager
    def commands(self) -> Iterator[Commands]:
        """Count the commands of the block; complete when it has ended."""
        counted = Commands()
        with socket.create_connection(self._address, timeout=_PATIENCE) as connection:
            lines = connection.makefile("rb", buffering=2**20)
            connection.sendall(b"MONITOR\r\n")
            if not lines.readline().startswith(b"+OK"):
                raise RuntimeError("the server refuses MONITOR")
            reader = threading.Thread(target=_read, args=(lines, counted), daemon=True)
            reader.start()
            yield counted
            self._client.execute_command("ECHO", _MARK)
            reader.join(_PATIENCE)
            if reader.is_alive():
                raise RuntimeError(f"MONITOR lags more than {_PATIENCE:.0f} s behind")


def _read(lines: Any, counted: Commands) -> None:
    """Note lines until the mark comes by."""
    for line in lines:
        if _MARK in line:
            return
        counted.note(line)
