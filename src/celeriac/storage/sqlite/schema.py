"""Makes the tables, and refuses files that are not ours or of another version."""

from __future__ import annotations

import sqlite3
from typing import Final

from celeriac.exceptions import OperationalError
from celeriac.storage.sqlite.statements import load_statements

#: "Celc" in ASCII, in the file's header, so that `file` and we can tell whose it is.
APPLICATION_ID: Final = 0x43656C63
#: Raised whenever a table changes.
SCHEMA_VERSION: Final = 1


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Check that the file is of this schema; make the tables if it is empty. Safe when several do it at once.

    Raises:
        OperationalError: it is another program's, or of another version of the schema.
        sqlite3.Error: SQLite's own complaints.
    """
    try:
        connection.execute("BEGIN")  # one view for all questions: somebody else may be making the tables just now
        ready = _is_ready(connection, path)
        connection.execute("COMMIT")
        if not ready:
            _make_tables(connection, path)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _make_tables(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("PRAGMA journal_mode = WAL")  # kept in the file; not possible inside a transaction
    connection.execute("BEGIN IMMEDIATE")
    if not _is_ready(connection, path):  # somebody else may have been quicker
        for statement in load_statements("schema").values():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _is_ready(connection: sqlite3.Connection, path: str) -> bool:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        if version == SCHEMA_VERSION:
            return True
        age = "newer" if version > SCHEMA_VERSION else "older"
        raise OperationalError(
            f"the database {path} was written by a {age} Celeriac: its schema is {version}, "
            f"this version reads {SCHEMA_VERSION}; run the same version everywhere, or let the {age} one "
            "finish its queues and move the file away"
        )
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if application or version or tables:
        raise OperationalError(
            f"the database {path} belongs to another program (application id {application}, {tables} tables); "
            "give Celeriac a file of its own"
        )
    return False
