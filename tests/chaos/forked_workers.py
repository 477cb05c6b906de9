"""Starts processes with Celeriac's app of workflows by fork, so that one costs no start of Python. Used by `steps`.

A program of its own, as only a process without threads can fork safely. Reads one JSON object a line from its standard
input, `{"do": "work" | "send", "environment": {...}, "log": PATH, "workflow": NUMBER, "kill": null | [N, WHEN]}`,
and answers each with the number of the new process.

A worker that is to be killed kills itself at the N-th transaction that it writes to an SQLite file: `before` it is
committed, or `after` that.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from functools import partial
from typing import Any

from benchmarks.chaos.workflows import shapes

from celeriac.backends import redis as redis_backend
from celeriac.backends import sqlite as sqlite_backend
from celeriac.brokers import rabbitmq as rabbitmq_broker
from celeriac.brokers import redis as redis_broker
from celeriac.brokers import sqlite as sqlite_broker
from celeriac.worker import Worker, WorkerOptions

#: Imported before the forks, not in each.
LOADED = (shapes, redis_backend, sqlite_backend, rabbitmq_broker, redis_broker, sqlite_broker)


class KillingConnection(sqlite3.Connection):
    """Kills this process at one of the commits that all connections together make."""

    at = 0
    when = ""
    commits = 0
    _is_writing = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """See `sqlite3.Connection`."""
        if sql != "COMMIT" or not self._is_writing:
            self._is_writing = sql == "BEGIN IMMEDIATE" or (self._is_writing and sql != "ROLLBACK")
            return super().execute(sql, *parameters)
        self._is_writing = False
        KillingConnection.commits += 1
        is_due = KillingConnection.commits == self.at
        if is_due and self.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        cursor = super().execute(sql, *parameters)
        if is_due:
            os.kill(os.getpid(), signal.SIGKILL)
        return cursor


def arm(at: int, when: str) -> None:
    """Kill this process then."""
    KillingConnection.at, KillingConnection.when = at, when
    setattr(sqlite3, "connect", partial(sqlite3.connect, factory=KillingConnection))  # noqa: B010


def serve(request: dict[str, Any]) -> int:
    """What a new process does; its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.update(request["environment"])
    from benchmarks.chaos.workflows import app as workflows  # it reads the environment

    if request["do"] == "send":
        workflows.send(request["workflow"], 1, 0.0)
        workflows.app.close()
        return 0
    if request["kill"]:
        arm(*request["kill"])
    return Worker(workflows.app, WorkerOptions.from_app(workflows.app, pool="solo")).run()


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = serve(json.loads(line))
            finally:
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
