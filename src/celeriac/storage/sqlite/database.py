"""Connections to one SQLite file: a bounded pool, read and write transactions, bounded waits for the lock, forks.

Owns everything about *how* the file is reached. Knows nothing of what is stored in it; `schema` makes the tables.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.sqlite.bell import Ringer
from celeriac.storage.sqlite.errors import REFUSED_VALUES, explain, is_busy
from celeriac.storage.sqlite.schema import prepare
from celeriac.storage.sqlite.statements import with_rows

T = TypeVar("T")

#: UPDATE ... RETURNING came with it.
_OLDEST_SQLITE: Final = (3, 35, 0)
_IDLE_CONNECTIONS: Final = 4
#: How long a fork waits for transactions of other threads: longer than any may take.
_FORK_PATIENCE: Final = 10.0
#: Pages in the write-ahead log before it is copied into the database (with an fsync). Rows come and go, so a longer log
#: is copied at less cost for each: 32 MB takes a third less time than 4 MB where results pile up.
_CHECKPOINT_PAGES: Final = 8000
#: Rows in one INSERT; a power of two, as are all that are fewer, so that few statements are prepared.
_MOST_ROWS: Final = 128
#: KiB of pages kept by each connection; the index of results is spread over many.
_CACHE_KIB: Final = 4000
_LOG_SIZE_LIMIT: Final = 64 * 1024 * 1024
#: Pauses between tries for the lock. SQLite's own start at 1 ms, which is five transactions of ours.
_FIRST_PAUSE: Final = 0.0001
_LONGEST_PAUSE: Final = 0.001
#: The same while the tables are made. Whoever looks whether they are there keeps out who makes them, so that many who
#: look often would keep out each other.
_LONGEST_MAKING_PAUSE: Final = 0.05
_EXPLAINED: Final = (sqlite3.Error, *REFUSED_VALUES)


class Transaction:
    """A write transaction: the connection, the time, and the bells to ring once it is committed.

    Attributes:
        now: Unix time at which the lock was got.
        monotonic: the monotonic clock at the same moment.
        rings: (port, payload) pairs to send after the commit.
    """

    __slots__ = ("connection", "execute", "monotonic", "now", "rings")

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.now = clock.time()
        self.monotonic = clock.monotonic()
        self.rings: list[tuple[int, bytes]] = []

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run `sql` for each row; returns how many rows were changed in all."""
        return self.connection.executemany(sql, rows).rowcount

    def insert(self, sql: str, rows: Sequence[Sequence[Any]], *tail: Any) -> None:
        """Run `sql`, which has one group `(?, ?, ...)` for a row, with many rows at a time.

        The interpreter lock is let go at each step of SQLite's. One step for 128 rows instead of one for each spares a
        thread beside a busy event loop 128 chances to lose it for milliseconds.

        Args:
            sql: the statement.
            rows: a value for each mark of the group.
            tail: values for the marks after the group.
        """
        for count, values in _groups(rows):
            self.execute(with_rows(sql, count), (*values, *tail))

    def insert_returning(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """`insert` with a statement that returns rows."""
        returned: list[tuple[Any, ...]] = []
        for count, values in _groups(rows):
            returned.extend(self.execute(with_rows(sql, count), values).fetchall())
        return returned

    def draw(self, count: int = 1) -> int:
        """The first of `count` consecutive numbers that nobody has had before."""
        (last,) = self.execute(
            "UPDATE counter SET value = value + ? RETURNING value", (count,)
        ).fetchone()  # fetchone ends the statement too: one row is all there is
        return int(last) - count + 1


def _groups(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
    """How many rows go into each statement, and their values."""
    done = 0
    while done < len(rows):
        count = min(_MOST_ROWS, 1 << (len(rows) - done).bit_length() - 1)
        yield count, [value for row in rows[done : done + count] for value in row]
        done += count


class Database:
    """One file, reached by any thread of any process.

    Args:
        path: made absolute here, so that a later change of directory does not move it.
        clock: for leases, due times and expiry; waits for locks use the machine's own.
        busy_timeout: seconds to wait for another process's transaction before `OperationalError`.

    Raises:
        ImproperlyConfigured: the SQLite library of this Python is too old.
    """

    def __init__(self, path: str, *, clock: Clock = SYSTEM_CLOCK, busy_timeout: float = 5.0) -> None:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise ImproperlyConfigured(
                f"this Python has SQLite {sqlite3.sqlite_version}, Celeriac needs 3.35 or later; "
                "use a newer build of Python or another broker"
            )
        self.path = str(Path(path).absolute())
        self.clock = clock
        self._busy_timeout = busy_timeout
        self._idle: list[sqlite3.Connection] = []
        self._in_use = 0
        self._free = threading.Condition(threading.Lock())
        self._pid = os.getpid()
        self._identity: tuple[int, int] | None = None
        #: Counts the files that were seen under this name; connections of an earlier one are not kept.
        self._generation = 0
        self._ringer = Ringer()
        with _fork_lock:
            _databases.add(self)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a connection without taking the write lock.

        Raises:
            OperationalError, StoreRefused: see `celeriac.storage.sqlite.errors`.
        """
        connection, generation = self._check_out()
        try:
            result = self._patiently(lambda: work(connection))
        except BaseException as exc:
            self._discard(connection)
            if isinstance(exc, _EXPLAINED):
                raise explain(exc, self.path, self._busy_timeout) from exc
            raise
        self._check_in(connection, generation)
        return result

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a write transaction: all of it is committed, or none. Then ring the bells it collected.

        Raises:
            OperationalError, StoreRefused: see `celeriac.storage.sqlite.errors`.
        """
        connection, generation = self._check_out()
        try:
            self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
            transaction = Transaction(connection, self.clock)
            result = work(transaction)
            connection.execute("COMMIT")
        except BaseException as exc:
            self._discard(connection)  # closing rolls back, whatever state it is in
            if isinstance(exc, _EXPLAINED):
                raise explain(exc, self.path, self._busy_timeout) from exc
            raise
        self._check_in(connection, generation)
        if transaction.rings:
            self._ringer.ring(transaction.rings)
        return result

    def close(self) -> None:
        """Close the connections that nobody uses at the moment. The next call opens new ones."""
        with self._free:
            self._close_idle()

    def __del__(self) -> None:
        if self.__dict__.get("_pid") == os.getpid():  # made to its end, and here
            self._close_idle()

    # -- the pool -------------------------------------------------------------------------------------------------

    def _check_out(self) -> tuple[sqlite3.Connection, int]:
        identity = _identity_of(self.path)
        with self._free:
            if self._pid != os.getpid():
                self._abandon()
            if identity != self._identity:  # the file was deleted or replaced: ours is no longer the one there
                self._close_idle()
                self._identity = identity
                self._generation += 1
            generation = self._generation
            self._in_use += 1
            if self._idle:
                return self._idle.pop(), generation
        try:
            return self._connect(), generation
        except BaseException:
            self._leave(None)
            raise

    def _check_in(self, connection: sqlite3.Connection, generation: int) -> None:
        self._leave(connection, generation)

    def _discard(self, connection: sqlite3.Connection) -> None:
        try:
            connection.close()
        finally:
            self._leave(None)

    def _leave(self, connection: sqlite3.Connection | None, generation: int = 0) -> None:
        with self._free:
            self._in_use -= 1
            if connection is not None:
                if generation == self._generation and len(self._idle) < _IDLE_CONNECTIONS:
                    self._idle.append(connection)
                else:
                    connection.close()
            if not self._in_use:
                self._free.notify_all()

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=128
            )
            opened = connection
            self._patiently(lambda: prepare(opened, self.path), _LONGEST_MAKING_PAUSE)
            connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing, a power cut may
            connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_SIZE_LIMIT}")
        except BaseException as exc:
            if connection is not None:
                connection.close()
            if isinstance(exc, sqlite3.Error):
                raise explain(exc, self.path, self._busy_timeout) from exc
            raise
        if self._identity is None:  # it was created just now
            self._identity = _identity_of(self.path)
        return connection

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _patiently(self, step: Callable[[], T], longest_pause: float = _LONGEST_PAUSE) -> T:
        """`step()`, tried again while another connection holds the lock, up to `busy_timeout` seconds."""
        try:
            return step()
        except sqlite3.OperationalError as exc:
            if not is_busy(exc):
                raise
        deadline = time.monotonic() + self._busy_timeout
        pause = _FIRST_PAUSE
        while True:
            jitter = 0.5 + (time.perf_counter_ns() & 1023) / 1024  # or two waiters keep meeting
            time.sleep(pause * jitter)
            try:
                return step()
            except sqlite3.OperationalError as exc:
                if not is_busy(exc) or time.monotonic() >= deadline:
                    raise
            pause = min(pause * 1.3, longest_pause)

    # -- forks ----------------------------------------------------------------------------------------------------
    #
    # SQLite must not carry a connection across a fork: the child's copy of the library believes in locks that only the
    # parent has. So no connection is open while the process forks, and both sides open new ones when they need them.

    def before_fork(self) -> None:
        """Wait for running transactions and close every connection; holds the pool until `after_fork`."""
        self._free.acquire()
        self._free.wait_for(lambda: not self._in_use, timeout=_FORK_PATIENCE)
        self._close_idle()

    def after_fork(self) -> None:
        """Let the pool go again, in the parent and in the child."""
        self._free.release()

    def _abandon(self) -> None:
        """Forget connections that came over by a fork that did not call `before_fork`; closing them would do harm."""
        _inherited.extend(self._idle)
        self._idle = []
        self._in_use = 0
        self._pid = os.getpid()


def _identity_of(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - in the path of each publish, and Path.stat takes three times as long
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
#: Kept alive so that they are never closed.
_inherited: list[sqlite3.Connection] = []
_forking: list[Database] = []
#: Held while a thread forks, so that another one waits with its own fork until this one is done.
_fork_lock = threading.RLock()


def _before_fork() -> None:
    _fork_lock.acquire()
    _forking[:] = list(_databases)
    for database in _forking:
        database.before_fork()


def _after_fork() -> None:
    while _forking:
        _forking.pop().after_fork()
    _fork_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
