"""How many deliveries one transaction carries: a bound in bytes, on memory and on how long the lock is held."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

#: Bodies of so many bytes end a batch of deliveries.
TAKEN_BYTES: Final = 16 * 1024 * 1024


def fetch_bounded(cursor: sqlite3.Cursor, body: int, most_bytes: int) -> list[Any]:
    """Rows until their bodies come to `most_bytes`, at least one if there is any. `body` is the column's number."""
    rows: list[Any] = []
    left = most_bytes
    for row in cursor:
        rows.append(row)
        left -= len(row[body])
        if left <= 0:
            break
    cursor.close()  # what is left unread must not keep the statement alive while its tables change
    return rows
