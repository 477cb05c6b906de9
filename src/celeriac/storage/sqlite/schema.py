"""Makes the tables, brings older files up to date, and refuses files that are not ours or are newer."""

from __future__ import annotations

import sqlite3
from typing import Final

from celeriac.exceptions import OperationalError
from celeriac.storage.sqlite.statements import load_statements

#: "Celc" in ASCII, in the file's header, so that `file` and we can tell whose it is.
APPLICATION_ID: Final = 0x43656C63
#: The statements that lead to each version of the schema from the one before. A step only adds, so that processes which
#: have the file open go on; a new one is a new file, and the others never change.
_STEPS: Final = ("schema", "schema_2", "schema_3")
SCHEMA_VERSION: Final = len(_STEPS)


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Check that the file is of this schema; make the tables that it lacks. Safe when several do it at once.

    Raises:
        OperationalError: it is another program's, or of a later version of the schema.
        sqlite3.Error: SQLite's own complaints.
    """
    try:
        connection.execute("BEGIN")  # one view for all questions: somebody else may be making the tables just now
        version = _version(connection, path)
        connection.execute("COMMIT")
        if version < SCHEMA_VERSION:
            _make_tables(connection, path)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _make_tables(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("PRAGMA journal_mode = WAL")  # kept in the file; not possible inside a transaction
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection, path)  # somebody else may have been quicker
    if version < SCHEMA_VERSION:
        for step in _STEPS[version:]:
            for statement in load_statements(step).values():
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection, path: str) -> int:
    """Of the tables that are there; 0 for an empty file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        if version <= SCHEMA_VERSION:
            return int(version)
        raise OperationalError(
            f"the database {path} was written by a newer Celeriac: its schema is {version}, "
            f"this version reads {SCHEMA_VERSION}; run the same version everywhere, or let the newer one "
            "finish its queues and move the file away"
        )
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if application or version or tables:
        raise OperationalError(
            f"the database {path} belongs to another program (application id {application}, {tables} tables); "
            "give Celeriac a file of its own"
        )
    return 0
