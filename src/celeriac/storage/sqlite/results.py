"""Results on the SQLite file, inside a transaction of the caller's: `settle` writes them beside its own rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES
from celeriac.storage.sqlite.database import Transaction
from celeriac.storage.sqlite.statements import load_statements

#: Task ids in one datagram, separated by line feeds.
_IDS_IN_A_RING: Final = 100
_IDS_IN_A_QUERY: Final = 500
SWEEP_BATCH: Final = 1000
#: How long a bell of a waiter that was killed may stay, in seconds.
LONGEST_BELL: Final = 3600.0


def store_results(transaction: Transaction, records: Sequence[ResultRecord]) -> None:
    """Write `records`; whoever waits for one that is ready now is woken after the commit."""
    now = transaction.now
    rows = [(r.task_id, r.status, None if r.ttl is None else now + r.ttl, r.meta) for r in records]
    transaction.insert(load_statements("result")["store"], rows, now)
    _ring_waiting(transaction, [r.task_id for r in records if r.status in READY_STATES])


def _ring_waiting(transaction: Transaction, task_ids: Sequence[str]) -> None:
    sql = load_statements("result")
    (anyone,) = transaction.execute(sql["anyone_waiting"]).fetchone()
    if not anyone or not task_ids:
        return
    rows = transaction.execute(sql["waiting_for_result"], (_json(task_ids),)).fetchall()
    ids_by_port: dict[int, list[str]] = {}
    for task_id, port in rows:
        ids_by_port.setdefault(port, []).append(task_id)
    transaction.executemany(sql["delete_bells"], [(task_id,) for task_id, _ in rows])
    for port, ids in ids_by_port.items():
        for start in range(0, len(ids), _IDS_IN_A_RING):
            transaction.rings.append((port, "\n".join(ids[start : start + _IDS_IN_A_RING]).encode()))


def load_result(connection: sqlite3.Connection, task_id: str, now: float) -> ResultRecord | None:
    """The stored result, unless it has expired."""
    row = connection.execute(load_statements("result")["load"], (task_id, now)).fetchone()
    return None if row is None else _record(row, now)


def load_results(connection: sqlite3.Connection, task_ids: Sequence[str], now: float) -> list[ResultRecord]:
    """Those of `task_ids` that have a result."""
    sql = load_statements("result")["load_many"]
    found: list[ResultRecord] = []
    for start in range(0, len(task_ids), _IDS_IN_A_QUERY):
        chunk = _json(task_ids[start : start + _IDS_IN_A_QUERY])
        found.extend(_record(row, now) for row in connection.execute(sql, (chunk, now)).fetchall())
    return found


def forget_result(transaction: Transaction, task_id: str) -> None:
    """Delete one result."""
    transaction.execute(load_statements("result")["forget"], (task_id,))


def forget_results(transaction: Transaction, task_ids: Sequence[str]) -> None:
    """Delete many results."""
    transaction.executemany(load_statements("result")["forget"], [(task_id,) for task_id in task_ids])


def sweep_results(transaction: Transaction) -> int:
    """Delete up to `SWEEP_BATCH` expired results, and bells of waiters that are gone."""
    sql = load_statements("result")
    farthest = transaction.monotonic + LONGEST_BELL
    transaction.execute(sql["delete_stale_bells"], (transaction.monotonic, farthest))
    return transaction.execute(sql["sweep"], (transaction.now, SWEEP_BATCH)).rowcount


def load_or_arm(transaction: Transaction, task_ids: Sequence[str], port: int, seconds: float) -> list[ResultRecord]:
    """Return those that are ready; for the others have `port` rung when they are, for up to `seconds`."""
    found = [
        record
        for record in load_results(transaction.connection, task_ids, transaction.now)
        if record.status in READY_STATES
    ]
    missing = set(task_ids).difference(record.task_id for record in found)
    expires = transaction.monotonic + min(seconds, LONGEST_BELL)
    rows = [(task_id, port, expires) for task_id in missing]
    transaction.insert(load_statements("result")["arm_bell"], rows)
    return found


def disarm_result_bells(transaction: Transaction, task_ids: Collection[str], port: int) -> None:
    """Nobody waits on `port` for these any more."""
    rows = [(task_id, port) for task_id in task_ids]
    transaction.executemany(load_statements("result")["disarm_bell"], rows)


def _record(row: tuple[str, str, float | None, bytes], now: float) -> ResultRecord:
    task_id, status, expires, meta = row
    return ResultRecord(task_id, status, meta, None if expires is None else expires - now)


def _json(task_ids: Sequence[str]) -> str:
    return msgspec.json.encode(task_ids).decode()
