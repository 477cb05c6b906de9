"""SQLite's errors in words: which file, what is wrong, what to do."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from celeriac.exceptions import OperationalError, StoreRefused

#: Primary result codes that mean "another connection is at it": worth another try.
BUSY_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
#: Those that say something of the value to be written; it will be refused tomorrow, too.
_REFUSED_CODES = frozenset(
    {sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE}
)
#: What Python raises for the same before SQLite sees the value: over 2 GiB, an integer over 64 bits, half a surrogate.
REFUSED_VALUES = (OverflowError, UnicodeEncodeError)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without the extension, 0 where there is none."""
    code: int | None = getattr(error, "sqlite_errorcode", None)  # absent on errors of the module's own
    return code & 0xFF if code is not None else 0


def is_busy(error: sqlite3.Error) -> bool:
    """Another connection holds the lock that was needed."""
    return primary_code(error) in BUSY_CODES


def explain(error: Exception, path: str, busy_timeout: float) -> OperationalError | StoreRefused:
    """The error to raise for `error`, which is one of SQLite's or of `REFUSED_VALUES`."""
    if not isinstance(error, sqlite3.Error) or _is_refusal(error):
        return StoreRefused(
            f"the database {path} can not store this: {error}; a value may have at most 1,000,000,000 bytes, "
            "keep larger ones in a file and send its name"
        )
    code = primary_code(error)
    if code in BUSY_CODES:
        text = (
            f"the database {path} was locked by another process for more than {busy_timeout:g} s; "
            "look for a program that holds a transaction open on it (a database browser, a backup)"
        )
    elif code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        text = (
            f"the file {path} is not a usable SQLite database ({error}); "
            "move it away (with its -wal and -shm files) to start afresh, or restore it from a backup"
        )
    elif code == sqlite3.SQLITE_FULL:
        text = f"there is no space left to write to the database {path}; free some disk space and try again"
    elif code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        text = _not_writable(path)
    elif code == sqlite3.SQLITE_CANTOPEN:
        text = _not_opened(path, error)
    elif code == sqlite3.SQLITE_IOERR:
        text = (
            f"the database {path} can not be read or written ({error}, {error.sqlite_errorname}); "
            "check the disk, its free space and the limits on file sizes"
        )
    else:
        text = f"the database {path} refused to work: {error}"
    return OperationalError(text)


def _is_refusal(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.DataError | sqlite3.InterfaceError) or primary_code(error) in _REFUSED_CODES


def _not_writable(path: str) -> str:
    return (
        f"the database {path} can not be written; the user {_user()} needs write permission for the file "
        f"and for its directory {Path(path).parent}"
    )


def _not_opened(path: str, error: sqlite3.Error) -> str:
    folder = Path(path).parent
    if not folder.is_dir():
        return f"the directory {folder} of the database {path} does not exist; create it first"
    if Path(path).is_dir():
        return f"{path} is a directory, not a database file; name a file in it"
    if not os.access(folder, os.W_OK):
        return _not_writable(path)
    return f"the database {path} can not be opened ({error}); check its permissions and the limit on open files"


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "of this process")
