"""Taking messages: an unlocked look first, then one transaction for the batch."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.brokers.sqlite.batches import TAKEN_BYTES, fetch_bounded
from celeriac.brokers.sqlite.leasing import Lease, prolong_if_dead
from celeriac.message import Delivery, PackedMessage
from celeriac.storage.codec import decode_history
from celeriac.storage.sqlite.database import Transaction
from celeriac.storage.sqlite.statements import load_statements

#: Due messages made ready in one call for each queue: a bound on how long the lock is held.
PROMOTION_BATCH: Final = 500
#: From so many queues on, one look at all of them comes before the look at each.
_MANY_QUEUES: Final = 8
_BEFORE_FIRST_LEVEL: Final = -1


class Glance(msgspec.Struct):
    """What an unlocked look at queues showed: something to take, or when something becomes due (Unix time)."""

    anything: bool
    next_due: float | None


def peek(connection: sqlite3.Connection, queues: Sequence[str], now: float) -> Glance:
    """Look without a lock. A message that comes right after is announced by a bell."""
    if len(queues) > _MANY_QUEUES:
        (anything,) = connection.execute(load_statements("reserve")["peek_at_all"]).fetchone()
        if not anything:
            return Glance(False, None)
    sql = load_statements("reserve")["peek"]
    next_due: float | None = None
    for queue in queues:
        ready, due = connection.execute(sql, (queue,)).fetchone()
        if ready or (due is not None and due <= now):
            return Glance(True, None)
        if due is not None and (next_due is None or due < next_due):
            next_due = due
    return Glance(False, next_due)


def take(transaction: Transaction, lease: Lease, queues: Sequence[str], limit: int) -> list[Delivery]:
    """Take up to `limit` messages: the lowest level first, queues in the given order inside it.

    Fewer when they are large: the one that reaches `TAKEN_BYTES` is the last. A lease that had run out is taken anew.
    """
    prolong_if_dead(transaction, lease)
    for queue in queues:
        _promote_due(transaction, queue)
    token = transaction.draw()
    levels = {queue: _next_level(transaction, queue, _BEFORE_FIRST_LEVEL) for queue in queues}
    taken: list[Delivery] = []
    size = 0
    while len(taken) < limit and size < TAKEN_BYTES:
        found = [level for level in levels.values() if level is not None]
        if not found:
            break
        level = min(found)
        queue = next(queue for queue in queues if levels[queue] == level)
        wanted = limit - len(taken)
        got = _take_level(transaction, lease, token, queue, level, wanted, TAKEN_BYTES - size)
        taken.extend(got)
        size += sum(len(delivery.packed.body) for delivery in got)
        if len(got) < wanted:
            levels[queue] = _next_level(transaction, queue, level)
    return taken


def arm_bells(transaction: Transaction, queues: Sequence[str], port: int, until: float | None, seconds: float) -> None:
    """Have `port` rung for work in `queues`, unless it comes due only after `until`."""
    sleeps_until = float("inf") if until is None else until
    rows = [(queue, port, sleeps_until, transaction.monotonic + seconds) for queue in queues]
    transaction.executemany(load_statements("reserve")["arm_bell"], rows)


def disarm_bells(transaction: Transaction, queues: Sequence[str], port: int) -> None:
    """This worker has work now: wake others."""
    rows = [(queue, port) for queue in queues]
    transaction.executemany(load_statements("reserve")["disarm_bell"], rows)


def _promote_due(transaction: Transaction, queue: str) -> None:
    sql = load_statements("reserve")
    rows = transaction.execute(sql["due"], (queue, transaction.now, PROMOTION_BATCH)).fetchall()
    if not rows:
        return
    first = transaction.draw(len(rows))
    transaction.insert(
        load_statements("publish")["insert_ready"],
        [(queue, priority, first + n, message) for n, (_, _, priority, message) in enumerate(rows)],
    )
    last_due, last_position, _, _ = rows[-1]
    transaction.execute(sql["delete_due"], (queue, last_due, last_position))


def _next_level(transaction: Transaction, queue: str, after: int) -> int | None:
    row = transaction.execute(load_statements("reserve")["next_level"], (queue, after)).fetchone()
    return None if row is None else int(row[0])


def _take_level(
    transaction: Transaction, lease: Lease, token: int, queue: str, level: int, limit: int, most_bytes: int
) -> list[Delivery]:
    sql = load_statements("reserve")
    rows = fetch_bounded(transaction.execute(sql["read_level"], (queue, level, limit)), 3, most_bytes)
    last = rows[-1][0]
    transaction.execute(sql["hold_level"], (lease.id, token, queue, level, last))
    transaction.execute(sql["clear_level"], (queue, level, last))
    deliveries: list[Delivery] = []
    for _, tag, head, body, content_type, content_encoding, history in rows:
        packed = PackedMessage(head, body, content_type, content_encoding)
        deliveries.append(Delivery(tag, token, packed, queue, level, decode_history(history)))
    return deliveries
