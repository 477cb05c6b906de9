"""Storing messages, and waking those who wait for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from celeriac.message import Message, Publication, encode_head
from celeriac.storage.codec import priority_level
from celeriac.storage.sqlite.database import Transaction
from celeriac.storage.sqlite.statements import load_statements

#: queue, priority, head, content type, content encoding, body: the columns of `message` without its id.
Row: TypeAlias = "tuple[str, int, bytes, str, str, bytes]"
#: A row and its due time.
Prepared: TypeAlias = "tuple[Row, float | None]"


def prepare_publications(publications: Iterable[Publication]) -> list[Prepared]:
    """Encode what will be stored, before the lock is taken.

    Raises:
        EncodeError: headers or properties that have no JSON form.
    """
    return [((p.queue, priority_level(p.priority), *content_of(p.message)), p.not_before) for p in publications]


def content_of(message: Message) -> tuple[bytes, str, str, bytes]:
    """A message as columns: head, content type, content encoding, body."""
    return encode_head(message), message.content_type, message.content_encoding, message.body


def publish_prepared(transaction: Transaction, prepared: Sequence[Prepared]) -> None:
    """Store them in order, and have waiting workers woken after the commit."""
    if not prepared:
        return
    first = transaction.draw(len(prepared))
    sql = load_statements("publish")
    transaction.insert(sql["insert_message"], [(first + n, *row) for n, (row, _) in enumerate(prepared)])
    place_messages(transaction, [(row[0], row[1], first + n, first + n, due) for n, (row, due) in enumerate(prepared)])


def place_messages(transaction: Transaction, places: Sequence[tuple[str, int, int, int, float | None]]) -> None:
    """Make stored messages ready, or due later.

    Args:
        transaction: the write transaction.
        places: queue, priority, position, message id, due time of each.
    """
    now = transaction.now
    ready: list[tuple[str, int, int, int]] = []
    future: list[tuple[str, float, int, int, int]] = []
    earliest: dict[str, tuple[float, int]] = {}
    for queue, priority, position, message, due in places:
        if due is None or not due > now:  # this way round, so that NaN is due at once
            ready.append((queue, priority, position, message))
            due = 0.0  # noqa: PLW2901
        else:
            future.append((queue, due, position, priority, message))
        known = earliest.get(queue)
        earliest[queue] = (due, 1) if known is None else (min(due, known[0]), known[1] + 1)
    sql = load_statements("publish")
    if ready:
        transaction.insert(sql["insert_ready"], ready)
    if future:
        transaction.insert(sql["insert_future"], future)
    for queue, (due, count) in earliest.items():
        ring_for_work(transaction, queue, count, due)


def ring_for_work(transaction: Transaction, queue: str, count: int, due: float = 0.0) -> None:
    """Wake up to `count` of those who wait for `queue` and would sleep past `due` (Unix time, 0 for at once)."""
    sql = load_statements("publish")
    ports = transaction.execute(sql["waiting_for_work"], (queue, due, transaction.monotonic, count)).fetchall()
    for (port,) in ports:
        transaction.execute(sql["delete_bell"], (queue, port))
        transaction.rings.append((port, b""))
