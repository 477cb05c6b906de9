"""Chords on the SQLite file, inside a transaction of the caller's: `settle` writes them beside its own rows.

The rules are `celeriac.storage.tallies`'. A batch of shares costs few statements, whatever its size: the numbers of its
chords are read, the shares are inserted many at a time, and what changed is written back.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord
from celeriac.storage.sqlite.database import Transaction
from celeriac.storage.sqlite.statements import load_statements
from celeriac.storage.tallies import ENDED_SECONDS, Tally, is_live, new_claim

#: Shares and chords deleted by one sweep.
_SWEEP_BATCH: Final = 1000
#: The same where new chords come: results may be elsewhere, and nobody sweeps this file.
_SMALL_SWEEP: Final = 64
#: A chord of which nothing is known.
_UNTOUCHED: Final = Tally()


class _Row(msgspec.Struct):
    """A chord as it was read, and as it will be written. `was_complete`: as its join row has it."""

    id: int
    group_id: str
    tally: Tally
    was_complete: bool


def change_chords(
    transaction: Transaction,
    starts: Sequence[ChordStart] = (),
    grown: Sequence[ChordGrowth] = (),
    shares: Sequence[ChordShare] = (),
) -> None:
    """Begin chords, add members to some or withdraw them, then note what members have come to."""
    # Chords are claimed in the order in which they came; that somebody adds nothing brings none.
    adding = [growth for growth in grown if growth.members]
    names = [one.group_id for several in (starts, adding, shares, grown) for one in several]
    if not names:
        return
    rows = _open(transaction, list(dict.fromkeys(names)))
    now = transaction.now
    for start in starts:
        rows[start.group_id].tally.begin(start, now)
    told = [(rows[s.group_id].id, s.queue, "", s.root_id, s.body, now) for s in starts if s.body]
    transaction.insert(load_statements("chord")["note_start"], told)
    for growth in grown:
        _grow(transaction, rows[growth.group_id], growth)
    for share in _insert(transaction, rows, shares):
        rows[share.group_id].tally.count(share, now)
    _write(transaction, rows.values())


def any_to_claim(connection: sqlite3.Connection, queues: Sequence[str], now: float, monotonic: float) -> bool:
    """Whether `claim_chords` has anything to do; takes no lock."""
    sql = load_statements("chord")["any_to_claim"]
    (found,) = connection.execute(sql, (_json(queues), now, monotonic)).fetchone()
    return bool(found)


def claim_chords(transaction: Transaction, queues: Sequence[str], limit: int, seconds: float) -> list[ClaimedChord]:
    """Claim up to `limit` complete chords of these queues for `seconds`."""
    sql = load_statements("chord")
    now, monotonic = transaction.now, transaction.monotonic
    claimed: list[ClaimedChord] = []
    for queue in dict.fromkeys(queues):
        wanted = (queue, now, monotonic, limit - len(claimed))
        for group_id, chord, claims, *of_body in transaction.execute(sql["to_claim"], wanted).fetchall():
            claim = new_claim()
            transaction.execute(sql["claim"], (claim, claims + 1, seconds, monotonic + seconds, chord))
            claimed.append(ClaimedChord(group_id, claim, claims + 1, *of_body))
        if len(claimed) >= limit:
            break
    return claimed


def are_current(transaction: Transaction, ends: Iterable[ChordEnd]) -> bool:
    """The claims that they name are the last ones that were given."""
    return all(_claimed(transaction, end) is not None for end in ends)


def renew_claims(transaction: Transaction, ends: Iterable[ChordEnd], seconds: float) -> list[ChordEnd]:
    """Have these claims last for `seconds` from now; returns those that are not the last ones that were given."""
    sql = load_statements("chord")["renew"]
    refused: list[ChordEnd] = []
    for end in ends:
        chord = _claimed(transaction, end)
        if chord is None:
            refused.append(end)
        else:
            transaction.execute(sql, (seconds, transaction.monotonic + seconds, chord))
    return refused


def end_chords(transaction: Transaction, ends: Iterable[ChordEnd]) -> list[ChordEnd]:
    """Forget these but for their names; returns those whose claim is not the last one."""
    sql = load_statements("chord")
    refused: list[ChordEnd] = []
    for end in ends:
        chord = _claimed(transaction, end)
        if chord is None:
            refused.append(end)
            continue
        transaction.execute(sql["delete_shares"], (chord,))
        transaction.execute(sql["delete_join"], (chord,))
        transaction.execute(sql["delete_members"], (chord,))
        transaction.execute(sql["delete_causes"], (chord,))
        transaction.execute(sql["end"], (transaction.now + ENDED_SECONDS, chord))
    return refused


def chord_state(connection: sqlite3.Connection, group_id: str, now: float, monotonic: float) -> ChordState:
    """What is known of a chord. The body is read apart from the parts: it is wide, and they are many."""
    rows = connection.execute(load_statements("chord")["state"], (group_id, now)).fetchall()
    if not rows:
        return ChordState(group_id, None)
    size, seconds, ends, _ = rows[0]
    parts = tuple(part for *_, part in rows if part is not None)
    known = connection.execute(load_statements("chord")["body"], (group_id, now)).fetchone() or ()
    return ChordState(group_id, size, parts, is_live(ends, seconds, monotonic), *known)


def break_chord(transaction: Transaction, group_id: str, reason: str, queue: str) -> bool:
    """Have the body of a chord fail, if it is known and not complete."""
    sql = load_statements("chord")["break"]
    return transaction.execute(sql, (reason, queue, group_id, transaction.now)).rowcount == 1


def open_chords(connection: sqlite3.Connection, limit: int, now: float, monotonic: float) -> list[ChordState]:
    """Those that have begun and are not over, newest first."""
    return [
        ChordState(group_id, size, (), is_live(ends, seconds, monotonic), queue, body, began, reason, shares)
        for group_id, size, shares, seconds, ends, queue, body, began, reason in connection.execute(
            load_statements("chord")["open"], (now, limit)
        )
    ]


def sweep_chords(transaction: Transaction, limit: int = _SWEEP_BATCH) -> int:
    """Delete chords whose time is over, up to `limit` of them and as many shares; returns how many rows."""
    sql = load_statements("chord")
    chords = [row[0] for row in transaction.execute(sql["expired"], (transaction.now, limit)).fetchall()]
    if not chords:
        return 0
    ids = msgspec.json.encode(chords).decode()
    shares = transaction.execute(sql["sweep_shares"], (ids, limit)).rowcount
    if shares == limit:  # the rest goes later, and must not be found by its name if the clock is set back
        transaction.executemany(sql["disown"], [(chord,) for chord in chords])
    transaction.execute(sql["sweep_joins"], (ids,))
    transaction.execute(sql["sweep_members"], (ids,))
    transaction.execute(sql["sweep_causes"], (ids,))
    return shares + transaction.execute(sql["sweep_chords"], (ids,)).rowcount


# -- inside -----------------------------------------------------------------------------------------------------------


def _open(transaction: Transaction, group_ids: Sequence[str]) -> dict[str, _Row]:
    """The chords of these names as they are, new ones included."""
    sql = load_statements("chord")
    rows: dict[str, _Row] = {}
    for group_id, chord, size, grown, shares, ended, expires in transaction.execute(
        sql["read"], (_json(group_ids),)
    ).fetchall():
        tally = Tally(size, grown, shares, expires, bool(ended))
        if tally.has_expired(transaction.now):
            transaction.execute(sql["disown"], (chord,))
            transaction.execute(sql["delete_join"], (chord,))
        else:
            rows[group_id] = _Row(chord, group_id, tally, tally.is_complete)
    new = [group_id for group_id in group_ids if group_id not in rows]
    if new:
        sweep_chords(transaction, _SMALL_SWEEP)
        first = transaction.draw(len(new))
        rows.update((group_id, _Row(first + n, group_id, Tally(), False)) for n, group_id in enumerate(new))
    return rows


def _grow(transaction: Transaction, row: _Row, growth: ChordGrowth) -> None:
    """Have the chord wait for these members of this cause, and for no others that have not come."""
    tally = row.tally
    if tally.ended or not (growth.members or tally.added or (growth.run and tally != _UNTOUCHED)):
        return
    sql = load_statements("chord")
    if not _is_last_run(transaction, row.id, growth):
        vain = [(row.id, growth.cause, task_id, 0) for task_id in growth.members]  # they may be sent all the same
        transaction.insert(sql["note_withdrawn"], vain)
        return
    before = dict(transaction.execute(sql["added"], (row.id, growth.cause)).fetchall())
    named = dict.fromkeys(growth.members)
    new = [task_id for task_id in named if task_id not in before]
    gone = [task_id for task_id, has_come in before.items() if not has_come and task_id not in named]
    more = len(new) - _count_awaited(transaction, row.id, new)
    changed = [(row.id, growth.cause, task_id, 1) for task_id in new]
    changed += [(row.id, growth.cause, task_id, 0) for task_id in gone]
    transaction.insert(sql["write_members"], changed)
    less = len(gone) - _count_awaited(transaction, row.id, gone)
    tally.grow(more - less, transaction.now)


def _is_last_run(transaction: Transaction, chord: int, growth: ChordGrowth) -> bool:
    """No later run of its cause has told what it adds. Notes that this one has."""
    sql = load_statements("chord")
    known = transaction.execute(sql["last_run"], (chord, growth.cause)).fetchone()
    last = 0 if known is None else int(known[0])
    if growth.run > last:
        transaction.execute(sql["write_run"], (chord, growth.cause, growth.run))
    return growth.run >= last


def _count_awaited(transaction: Transaction, chord: int, task_ids: Sequence[str]) -> int:
    """How many of these somebody has added and not withdrawn."""
    if not task_ids:
        return 0
    (count,) = transaction.execute(load_statements("chord")["awaited"], (chord, _json(task_ids))).fetchone()
    return int(count)


def _is_awaited(transaction: Transaction, chord: int, task_id: str) -> int | None:
    """Whether a member is one that was added; 0 if it was withdrawn, None if nothing is known of it."""
    (awaited,) = transaction.execute(load_statements("chord")["is_awaited"], (chord, task_id)).fetchone()
    return None if awaited is None else int(awaited)


def _insert(transaction: Transaction, rows: dict[str, _Row], shares: Sequence[ChordShare]) -> list[ChordShare]:
    """Store shares of chords that have not ended; returns those that are new, in their order."""
    kept = [
        share
        for share in shares
        if not rows[share.group_id].tally.ended
        and (share.index is not None or _is_awaited(transaction, rows[share.group_id].id, share.task_id) != 0)
    ]
    places = [(rows[s.group_id].id, math.inf if s.index is None else s.index, s.task_id, s.part) for s in kept]
    new = set(transaction.insert_returning(load_statements("chord")["insert_shares"], places))
    if len(new) == len(kept):
        return kept
    fresh: list[ChordShare] = []
    for share, (chord, place, task_id, _) in zip(kept, places, strict=True):
        if (chord, place, task_id) in new:
            new.remove((chord, place, task_id))  # given twice in one batch, it counts once
            fresh.append(share)
    return fresh


def _write(transaction: Transaction, rows: Iterable[_Row]) -> None:
    sql = load_statements("chord")
    written: list[tuple[int, str, int | None, int, int, int, float | None]] = []
    joins: list[tuple[int, str, str, str | None, bytes, int, int, int, int]] = []
    for row in rows:
        tally, last, complete = row.tally, row.tally.last, row.tally.is_complete
        if tally.ended or tally == _UNTOUCHED:  # an old one has been written, a new one has nothing to say
            continue
        written.append((row.id, row.group_id, tally.size, tally.added, tally.shares, 0, tally.expires))
        if last is not None and tally.may_be_complete:
            of_body = (last.queue, last.task_id, last.root_id, last.body, last.priority)
            joins.append((row.id, *of_body, int(complete), 0, 0))
        elif complete != row.was_complete:
            transaction.execute(sql["set_complete"], (int(complete), row.id))
    transaction.insert(sql["write"], written)
    transaction.insert(sql["write_join"], joins)


def _claimed(transaction: Transaction, end: ChordEnd) -> int | None:
    sql = load_statements("chord")["claimed"]
    row = transaction.execute(sql, (end.group_id, end.claim, transaction.now)).fetchone()
    return None if row is None else int(row[0])


def _json(texts: Sequence[str]) -> str:
    return msgspec.json.encode(texts).decode()
