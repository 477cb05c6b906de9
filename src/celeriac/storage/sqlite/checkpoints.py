"""Copies the write-ahead log into the database beside a busy worker, so that no commit has to stop for it.

SQLite does this by itself in whichever commit makes the log long enough, with an fsync, and everybody waits. That stays
as the net below; here most of the pages are copied before, while others go on writing.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import Final

from celeriac.exceptions import CeleriacError
from celeriac.storage.sqlite.database import Database

#: Seconds between two copies: rare enough that a page which changes often is copied once for many changes.
_INTERVAL: Final = 0.3


class Checkpointer:
    """A thread that copies now and then, between `start` and `stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopped: threading.Event | None = None

    def start(self) -> None:
        """Begin, if not done already."""
        if self._stopped is None:
            self._stopped = threading.Event()
            work = threading.Thread(
                target=_work, args=(self._database, self._stopped), name="celeriac-sqlite-checkpoints", daemon=True
            )
            work.start()

    def stop(self) -> None:
        """Begin no other copy."""
        if self._stopped is not None:
            self._stopped.set()
            self._stopped = None


def checkpoint(connection: sqlite3.Connection) -> None:
    """Copy what nobody reads any more, without keeping anybody waiting."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def _work(database: Database, stopped: threading.Event) -> None:
    while not stopped.wait(_INTERVAL):
        with suppress(CeleriacError):  # the next commit meets the same trouble and says so
            database.read(checkpoint)
