"""Leases: taking, prolonging and giving them up, and taking over what dead workers held. See docs/adr/0002 and 0003."""

from __future__ import annotations

import os
import sqlite3

import msgspec

from celeriac.brokers.sqlite.batches import TAKEN_BYTES, fetch_bounded
from celeriac.brokers.sqlite.publishing import ring_for_work
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery, PackedMessage
from celeriac.storage.codec import decode_history
from celeriac.storage.sqlite.database import Transaction
from celeriac.storage.sqlite.statements import load_statements


class Lease(msgspec.Struct):
    """What this worker holds all its messages by.

    Attributes:
        id: its row; never used twice, so it fences better than the name alone.
        owner: the name, for histories and errors.
        seconds: how long it lasts from the last renewal.
        lapsed: it had run out before it was prolonged, and nobody has been told yet.
        quiet_until: until then, by the monotonic clock, nothing is recovered; see `Broker.recover`.

    The last two change only inside a write transaction, so that threads do not meet.
    """

    id: int
    owner: str
    seconds: float
    lapsed: bool = False
    quiet_until: float = 0.0


def is_alive(now: float, ends: float, seconds: float) -> bool:
    """A lease whose end lies too far ahead was written before a reboot."""
    return now < ends <= now + seconds


def take_lease(transaction: Transaction, owner: str, seconds: float) -> Lease:
    """Take the lease `owner`.

    Raises:
        OperationalError: another one of this name is alive.
    """
    _refuse_second_owner(transaction, owner, lease_id=0)
    lease = Lease(transaction.draw(), owner, seconds)
    _write(transaction, lease)
    return lease


def prolong_lease(transaction: Transaction, lease: Lease) -> bool:
    """Have it last from now on; False when it had run out.

    Raises:
        OperationalError: it had run out, and another worker of this name has started since.
    """
    left = _seconds_left(transaction, lease)
    if left <= 0:
        _refuse_second_owner(transaction, lease.owner, lease.id)
        lease.lapsed = True
    if left < lease.seconds / 2:
        lease.quiet_until = transaction.monotonic + lease.seconds
    _write(transaction, lease)
    return left > 0


def prolong_if_dead(transaction: Transaction, lease: Lease) -> bool:
    """Have a lease that has run out last from now on; False when it had."""
    return _seconds_left(transaction, lease) > 0 or prolong_lease(transaction, lease)


def prolong_if_alive(transaction: Transaction, lease: Lease) -> None:
    """Have a lease that has not run out last from now on, in a transaction that takes its time."""
    if _seconds_left(transaction, lease) > 0:
        prolong_lease(transaction, lease)


def is_quiet(lease: Lease, now: float) -> bool:
    """Too soon after a late renewal to tell the dead from those whom the same outage has delayed."""
    return is_alive(now, lease.quiet_until, lease.seconds)


def _seconds_left(transaction: Transaction, lease: Lease) -> float:
    row = transaction.execute(load_statements("lease")["read_lease"], (lease.id,)).fetchone()
    if row is None or not is_alive(transaction.monotonic, row[1], row[0]):
        return 0.0
    return float(row[1]) - transaction.monotonic


def delete_stale_bells(transaction: Transaction, longest: float) -> None:
    """Forget bells of waiters that were killed."""
    now = transaction.monotonic
    transaction.execute(load_statements("reserve")["delete_stale_bells"], (now, now + longest))


def any_dead(connection: sqlite3.Connection, lease: Lease, now: float) -> bool:
    """Whether `recover` has anything to do; takes no lock."""
    leases = connection.execute(load_statements("lease")["all_leases"]).fetchall()
    return any(other != lease.id and not is_alive(now, ends, seconds) for other, _, seconds, ends in leases)


def recover(transaction: Transaction, lease: Lease, limit: int) -> list[Delivery]:
    """Make `lease` the holder of up to `limit` messages whose own lease has run out.

    Fewer when they are large. None when this lease had run out as well: that is mended, and others may do the same.
    """
    if not prolong_if_dead(transaction, lease) or is_quiet(lease, transaction.monotonic):
        return []
    sql = load_statements("lease")
    token = transaction.draw()
    taken: list[Delivery] = []
    left = TAKEN_BYTES
    for dead, owner, seconds, ends in transaction.execute(sql["all_leases"]).fetchall():
        if dead == lease.id or is_alive(transaction.monotonic, ends, seconds):
            continue
        if len(taken) < limit and left > 0:
            rows = fetch_bounded(transaction.execute(sql["read_held"], (dead, limit - len(taken))), 3, left)
            if rows:
                left -= sum(len(row[3]) for row in rows)
                transaction.execute(sql["take_over"], (lease.id, token, dead, rows[-1][1]))
                taken.extend(_taken_over(row, token, owner) for row in rows)
        if not transaction.execute(sql["holds_anything"], (dead,)).fetchone()[0]:
            transaction.execute(sql["drop_lease"], (dead,))
    return taken


def give_up_lease(transaction: Transaction, lease: Lease) -> None:
    """Give back all that is held, and forget the lease."""
    sql = load_statements("lease")
    for queue, count in transaction.execute(sql["count_held"], (lease.id,)).fetchall():
        ring_for_work(transaction, queue, count)
    transaction.execute(sql["give_back_all"], (lease.id,))
    transaction.execute(sql["let_go_all"], (lease.id,))
    transaction.execute(sql["drop_lease"], (lease.id,))


def _write(transaction: Transaction, lease: Lease) -> None:
    ends = transaction.monotonic + lease.seconds
    transaction.execute(load_statements("lease")["take_lease"], (lease.id, lease.owner, lease.seconds, ends))


def _refuse_second_owner(transaction: Transaction, owner: str, lease_id: int) -> None:
    for other, name, seconds, ends in transaction.execute(load_statements("lease")["all_leases"]).fetchall():
        if name == owner and other != lease_id and is_alive(transaction.monotonic, ends, seconds):
            raise OperationalError(
                f"another worker named {owner!r} holds a lease (this is process {os.getpid()}); give this one "
                f"another name, or wait {ends - transaction.monotonic:.0f} s if that one was killed"
            )


def _taken_over(
    row: tuple[int, int, bytes, bytes, str, str, bytes | None, str, int, int], token: int, owner: str
) -> Delivery:
    _, tag, head, body, content_type, content_encoding, history, queue, priority, started = row
    return Delivery(
        tag,
        token,
        PackedMessage(head, body, content_type, content_encoding),
        queue,
        priority,
        decode_history(history),
        bool(started),
        owner,
    )
