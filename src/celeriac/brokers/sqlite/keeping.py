"""Looking after queues: depth, purge, dead letters."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from celeriac.brokers.sqlite.publishing import place_messages
from celeriac.exceptions import DecodeError
from celeriac.message import DeadLetter, Message, PackedMessage
from celeriac.storage.codec import decode_history
from celeriac.storage.sqlite.database import Transaction
from celeriac.storage.sqlite.statements import load_statements

#: Messages deleted in one transaction, so that a purge of millions does not keep workers waiting.
PURGE_BATCH: Final = 5000


def depth(connection: sqlite3.Connection, queue: str) -> int:
    """Messages that are not held."""
    (count,) = connection.execute(load_statements("queues")["depth"], (queue,)).fetchone()
    return int(count)


def purge_some(transaction: Transaction, queue: str) -> int:
    """Delete up to `PURGE_BATCH` messages that are not held; 0 when there are none left."""
    sql = load_statements("queues")
    for which in ("ready", "future"):
        rows = transaction.execute(sql[f"{which}_ids"], (queue, PURGE_BATCH)).fetchall()
        if rows:
            first, second, _ = rows[-1]
            transaction.execute(sql[f"delete_{which}"], (queue, first, second))
            transaction.executemany(load_statements("settle")["delete_message"], [(message,) for _, _, message in rows])
            return len(rows)
    return 0


def read_dead_letters(connection: sqlite3.Connection, queue: str | None, limit: int, offset: int) -> list[DeadLetter]:
    """Newest first."""
    sql = load_statements("queues")
    if queue is None:
        rows = connection.execute(sql["dead_letters"], (limit, offset)).fetchall()
    else:
        rows = connection.execute(sql["dead_letters_of"], (queue, limit, offset)).fetchall()
    return [_dead_letter(row) for row in rows]


def requeue_dead_letters(transaction: Transaction, tags: Sequence[int | str]) -> int:
    """Put them back into their queues; unknown tags are skipped."""
    sql = load_statements("queues")
    places: list[tuple[str, int, int, int, float | None]] = []
    for tag in tags:
        new = transaction.draw()
        row = transaction.execute(sql["revive"], (new, tag)).fetchone()
        if row is not None:
            queue, priority = row
            transaction.execute(sql["delete_dead"], (tag,))
            places.append((queue, priority, new, new, None))
    place_messages(transaction, places)
    return len(places)


def purge_dead_letters(transaction: Transaction, queue: str | None) -> int:
    """Delete them."""
    sql = load_statements("queues")
    if queue is None:
        return transaction.execute(sql["purge_dead"]).rowcount
    return transaction.execute(sql["purge_dead_of"], (queue,)).rowcount


def _dead_letter(
    row: tuple[int, str, int, str, float, bytes, str, str, bytes, bytes | None],
) -> DeadLetter:
    tag, queue, priority, reason, at, head, content_type, content_encoding, body, history = row
    try:
        message = PackedMessage(head, body, content_type, content_encoding).unpack()
    except DecodeError:  # damaged: that is why it is here, and the others are to be seen all the same
        message = Message({}, {}, body, content_type, content_encoding)
    return DeadLetter(tag, message, queue, reason, at, decode_history(history), priority)
