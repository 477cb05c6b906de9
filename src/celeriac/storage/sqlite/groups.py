"""Saved groups on the SQLite file: their members, encoded, until their time is over."""

from __future__ import annotations

import sqlite3

from celeriac.storage.sqlite.database import Transaction
from celeriac.storage.sqlite.results import SWEEP_BATCH
from celeriac.storage.sqlite.statements import load_statements


def save_group(transaction: Transaction, group_id: str, meta: bytes, ttl: float | None) -> None:
    """Keep `meta` for `ttl` seconds, or for good."""
    expires = None if ttl is None else transaction.now + ttl
    transaction.execute(load_statements("group")["save"], (group_id, expires, meta))


def load_group(connection: sqlite3.Connection, group_id: str, now: float) -> bytes | None:
    """What is kept, unless it has expired."""
    row = connection.execute(load_statements("group")["load"], (group_id, now)).fetchone()
    return None if row is None else bytes(row[0])


def forget_group(transaction: Transaction, group_id: str) -> None:
    """Delete it."""
    transaction.execute(load_statements("group")["forget"], (group_id,))


def sweep_groups(transaction: Transaction) -> int:
    """Delete up to `SWEEP_BATCH` expired ones."""
    return transaction.execute(load_statements("group")["sweep"], (transaction.now, SWEEP_BATCH)).rowcount
