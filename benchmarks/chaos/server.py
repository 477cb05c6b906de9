"""A private Redis server that is killed, stopped and disturbed, and what it still has at the end.

Owns the process and the questions to it. Knows no task queue: tasks are found by their ids, see `tasks.task_id`.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from scripts.servers import REDIS, find_program

from benchmarks.chaos.outage import Outage, What, wait
from benchmarks.environments import variables
from benchmarks.ports import lasting_port
from benchmarks.process import start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

_DEADLINE: Final = 20.0
_ID: Final = re.compile(rb"chaos-(\d+)\b")
#: Names of all keys that stay for good.
_LASTING: Final = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', key) == -1 then found[#found + 1] = key end
end
return found
"""
_READ: Final = {
    b"list": ("LRANGE", 0, -1),
    b"hash": ("HGETALL",),
    b"zset": ("ZRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"string": ("GET",),
}


class RedisServer:
    """Runs from the start of the block to its end, on one port, with an append-only file.

    Args:
        folder: for the file and the log.
        fsync: `always`: a command is on the disk before it is answered; `everysec`: within a second.
        absence: seconds between kill and new start, when that is not to be at once.
        paused: seconds of a pause.
    """

    def __init__(
        self, folder: Path, *, fsync: Literal["always", "everysec"], absence: float = 12.0, paused: float = 10.0
    ) -> None:
        program = find_program(REDIS)
        if program is None:
            raise RuntimeError("no redis-server; scripts/install-servers unpacks one")
        self._folder = folder
        self._port = lasting_port()
        self._command = [
            *(program, "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", fsync),
        ]
        self._absence = absence
        self._paused = paused
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def disturb(self, what: What, meanwhile: Callable[[], None] = lambda: None) -> Outage:
        """See `outage.Server`.

        Raises:
            ValueError: that can not be done to Redis.
        """
        before = time.monotonic_ns()
        if what in {"restart", "absence"}:
            self._kill()
            if what == "restart":
                time.sleep(1.0)
            else:
                wait(self._absence, meanwhile)
            self._start()
        elif what == "pause":
            assert self._process is not None
            self._process.send_signal(signal.SIGSTOP)
            wait(self._paused, meanwhile)
            self._process.send_signal(signal.SIGCONT)
            self._wait_answer()
        elif what == "hang up":
            self.call("CLIENT", "KILL", "TYPE", "normal")
            self.call("CLIENT", "KILL", "TYPE", "pubsub")
        elif what == "forget scripts":
            self.call("SCRIPT", "FLUSH")
        else:
            raise ValueError(f"Redis knows no {what!r}")
        return Outage(what, before, time.monotonic_ns())

    def call(self, *command: str | bytes | int) -> Any:
        """One command on a connection of its own."""
        client = redis.Redis(
            host="127.0.0.1",
            port=self._port,
            socket_timeout=5.0,
            socket_connect_timeout=5.0,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        with contextlib.closing(client):
            return client.execute_command(*command)

    def version(self) -> str:
        """See `outage.Server`."""
        return str(self.call("INFO", "server")["redis_version"])

    def numbers(self) -> set[int]:
        """See `outage.Server`: in whatever key."""
        found: set[int] = set()
        for key in self.call("KEYS", "*"):
            if not key.startswith(b"celery-task-meta-"):
                found.update(int(number) for number in _ID.findall(self._content(key)))
        return found

    def left_over(self) -> list[str]:
        """See `outage.Server`: keys without a time to live. Bindings of queues belong to the queues."""
        lasting = self.call("EVAL", _LASTING, 0)
        return sorted(key.decode(errors="replace") for key in lasting if not key.startswith(b"_kombu.binding"))

    def left_of_chords(self) -> list[str]:
        """Keys of chords that are not over, whatever their time to live; `.c` says for some minutes that one is."""
        patterns = ("celeriac:chord:*", "celeriac:joins:*", "celery-taskset-meta-*.[^c]")
        return sorted(key.decode(errors="replace") for pattern in patterns for key in self.call("KEYS", pattern))

    def stored_successes(self) -> set[int]:
        """The tasks whose result is there and is a success."""
        return {
            int(number)
            for key in self.call("KEYS", "celery-task-meta-*")
            if b'"SUCCESS"' in (self.call("GET", key) or b"")
            for number in _ID.findall(key)
        }

    # -- inside ---------------------------------------------------------------------------------------------------

    def _content(self, key: bytes) -> bytes:
        command, *arguments = _READ.get(self._type(key), ("DUMP",))
        return repr(self.call(command, key, *arguments)).encode()

    def _type(self, key: bytes) -> bytes:
        kind: bytes = self.call("TYPE", key)
        return kind

    def _start(self) -> None:
        self._process = start(self._command, env=variables(), cwd=self._folder, log=self._folder / "redis.log")
        self._wait_answer()

    def _wait_answer(self) -> None:
        until = time.monotonic() + _DEADLINE
        while True:
            try:
                self.call("PING")
            except redis.RedisError:  # it is not there yet, or reads its file
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
            else:
                return

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_DEADLINE)
