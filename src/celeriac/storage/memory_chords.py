"""Chords in this process's memory: the reference for the other stores. Used under the lock of `MemoryStore`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord, member_name
from celeriac.storage.tallies import Tally, is_live, new_claim

#: New chords after which old ones are swept: results may be elsewhere, and nobody else sweeps this store.
_SWEEP_INTERVAL: Final = 1000


class Join(msgspec.Struct, frozen=True):
    """What is needed to make a body; see `ClaimedChord`."""

    queue: str
    task_id: str
    root_id: str | None
    body: bytes
    priority: int = 0


class StoredChord(msgspec.Struct):
    """One chord.

    Attributes:
        number: chords are claimed in the order in which they came.
        tally: how far it is.
        shares: by member.
        added: by cause, the task ids of members that it has added.
        adders: how many have added a member, by task id; 0 if it was withdrawn.
        runs: by cause, the last run that has told what it adds, if it is not the first.
        claim: the present one, or the last one that has run out.
        claims: how often it was claimed.
        seconds: how long the claim lasts.
        ends: until when, by the monotonic clock.
        join: what is needed to make the body: of the member that completed it, or until then of whoever began it.
        began: Unix time of its beginning, if that told the body.
        reason: why its body fails, if it is broken.
        filed: the queue among whose complete chords it is.
    """

    group_id: str
    number: int
    tally: Tally
    shares: dict[str, ChordShare]
    added: dict[str, set[str]] = {}
    adders: dict[str, int] = {}
    runs: dict[str, int] = {}
    claim: str | None = None
    claims: int = 0
    seconds: float = 0.0
    ends: float | None = None
    join: Join | None = None
    began: float | None = None
    reason: str | None = None
    filed: str | None = None

    def begin(self, start: ChordStart, now: float) -> None:
        """It begins."""
        self.tally.begin(start, now)
        if start.body:
            self.join = self.join or Join(start.queue, "", start.root_id, start.body)
            self.began = now if self.began is None else self.began

    def grow(self, growth: ChordGrowth, now: float) -> None:
        """These are all that this cause adds. What has ended does not grow."""
        if self.tally.ended:
            return
        if growth.run < self.runs.get(growth.cause, 0):
            for task_id in growth.members:
                self.adders.setdefault(task_id, 0)  # it may be sent all the same
            return
        if growth.run:
            self.runs[growth.cause] = growth.run
        before, named = self.added.get(growth.cause, set[str]()), set(growth.members)
        new = named - before
        gone = {task_id for task_id in before - named if member_name(task_id, None) not in self.shares}
        for task_id in new:
            self.adders[task_id] = self.adders.get(task_id, 0) + 1
        for task_id in gone:
            self.adders[task_id] -= 1
        self.added[growth.cause] = (before | new) - gone
        more = sum(self.adders[task_id] == 1 for task_id in new)
        self.tally.grow(more - sum(self.adders[task_id] == 0 for task_id in gone), now)

    def counts(self, share: ChordShare) -> bool:
        """It is one that is waited for, and that is not known yet."""
        if self.tally.ended or share.member in self.shares:
            return False
        return share.index is not None or self.adders.get(share.task_id) != 0

    def add(self, share: ChordShare, now: float) -> None:
        """A member that is not known yet has come to this."""
        self.shares[share.member] = share
        tally = self.tally
        tally.count(share, now)
        if tally.last is share and tally.may_be_complete and self.reason is None:
            self.join = Join(share.queue, share.task_id, share.root_id, share.body, share.priority)

    def state(self, monotonic: float) -> ChordState:
        """How far it is, without the parts."""
        is_claimed, counted = is_live(self.ends, self.seconds, monotonic), len(self.shares)
        known = ChordState(self.group_id, self.tally.members, (), is_claimed, reason=self.reason, counted=counted)
        if self.join is None or self.began is None:
            return known
        return msgspec.structs.replace(known, queue=self.join.queue, body=self.join.body, began=self.began)

    def parts(self) -> tuple[bytes, ...]:
        """In the order of the header; what was added later comes last."""
        ordered = sorted(self.shares.values(), key=lambda s: (math.inf if s.index is None else s.index, s.task_id))
        return tuple(share.part for share in ordered)


class MemoryChords:
    """All chords of a store, those that have ended included until they are swept."""

    def __init__(self) -> None:
        self._chords: dict[str, StoredChord] = {}
        #: By queue, the ids of those that are complete.
        self._complete: dict[str, set[str]] = {}
        self._came = 0

    def change(
        self,
        now: float,
        starts: Sequence[ChordStart] = (),
        grown: Sequence[ChordGrowth] = (),
        shares: Sequence[ChordShare] = (),
    ) -> None:
        """Begin chords, add members to some or withdraw them, then note what members have come to."""
        for start in starts:
            chord = self._open(start.group_id, now)
            chord.begin(start, now)
            self._file(chord)
        for growth in grown:
            if growth.members or self._find(growth.group_id, now) is not None:
                chord = self._open(growth.group_id, now)
                chord.grow(growth, now)
                self._file(chord)
        for share in shares:
            chord = self._open(share.group_id, now)
            if chord.counts(share):
                chord.add(share, now)
                self._file(chord)

    def claim(
        self, queues: Sequence[str], limit: int, seconds: float, now: float, monotonic: float
    ) -> list[ClaimedChord]:
        """Claim up to `limit` complete chords of these queues until `monotonic + seconds`."""
        claimed: list[ClaimedChord] = []
        for queue in dict.fromkeys(queues):
            known = [chord for key in self._complete.get(queue, ()) if (chord := self._find(key, now)) is not None]
            for chord in sorted(known, key=lambda chord: chord.number):
                if len(claimed) >= limit:
                    return claimed
                join = chord.join
                if join is None or is_live(chord.ends, chord.seconds, monotonic):
                    continue
                chord.claim = claim = new_claim()
                chord.claims, chord.seconds, chord.ends = chord.claims + 1, seconds, monotonic + seconds
                of_body = (join.body, join.task_id, join.root_id, join.queue)
                claimed.append(ClaimedChord(chord.group_id, claim, chord.claims, *of_body, chord.reason, join.priority))
        return claimed

    def is_current(self, end: ChordEnd, now: float) -> bool:
        """The claim that it names is the last one that was given."""
        chord = self._find(end.group_id, now)
        return chord is not None and chord.claim == end.claim

    def renew(self, end: ChordEnd, seconds: float, now: float, monotonic: float) -> bool:
        """Have the claim that it names last until `monotonic + seconds`, if that is the last one that was given."""
        chord = self._find(end.group_id, now)
        if chord is None or chord.claim != end.claim:
            return False
        chord.seconds, chord.ends = seconds, monotonic + seconds
        return True

    def end(self, ends: Sequence[ChordEnd], now: float) -> None:
        """Forget these but for their names."""
        for end in ends:
            chord = self._open(end.group_id, now)
            self._unfile(chord)
            ended = Tally()
            ended.end(now)
            self._chords[end.group_id] = StoredChord(end.group_id, chord.number, ended, {})

    def state(self, group_id: str, now: float, monotonic: float) -> ChordState:
        """What is known of a chord."""
        chord = self._find(group_id, now)
        if chord is None:
            return ChordState(group_id, None)
        return msgspec.structs.replace(chord.state(monotonic), parts=chord.parts(), counted=None)

    def break_chord(self, group_id: str, reason: str, queue: str, now: float) -> bool:
        """Have its body fail, if it is known and not complete."""
        chord = self._find(group_id, now)
        if chord is None or chord.join is None or (chord.reason is None and chord.tally.is_complete):
            return False
        chord.reason, chord.join = reason, msgspec.structs.replace(chord.join, queue=queue)
        self._file(chord)
        return True

    def all_open(self, limit: int, now: float, monotonic: float) -> list[ChordState]:
        """Those that have begun and are not over, newest first."""
        known = [chord for chord in self._chords.values() if chord.tally.members and not chord.tally.has_expired(now)]
        known.sort(key=lambda chord: chord.number, reverse=True)
        return [chord.state(monotonic) for chord in known[:limit]]

    def sweep(self, now: float, limit: int) -> int:
        """Delete up to `limit` whose time is over."""
        expired = [chord for chord in self._chords.values() if chord.tally.has_expired(now)][:limit]
        for chord in expired:
            self._drop(chord)
        return len(expired)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _find(self, group_id: str, now: float) -> StoredChord | None:
        chord = self._chords.get(group_id)
        return None if chord is None or chord.tally.has_expired(now) else chord

    def _open(self, group_id: str, now: float) -> StoredChord:
        chord = self._chords.get(group_id)
        if chord is not None and chord.tally.has_expired(now):
            self._drop(chord)
            chord = None
        if chord is None:
            self._came += 1
            if self._came % _SWEEP_INTERVAL == 0:
                self.sweep(now, _SWEEP_INTERVAL)
            chord = self._chords[group_id] = StoredChord(group_id, self._came, Tally(), {})
        return chord

    def _file(self, chord: StoredChord) -> None:
        """Have it found by its queue if it is complete, and not if it has grown since."""
        self._unfile(chord)
        if chord.join is not None and (chord.tally.is_complete or chord.reason is not None):
            chord.filed = chord.join.queue
            self._complete.setdefault(chord.filed, set()).add(chord.group_id)

    def _unfile(self, chord: StoredChord) -> None:
        if chord.filed is None:
            return
        complete = self._complete[chord.filed]
        complete.discard(chord.group_id)
        if not complete:
            del self._complete[chord.filed]
        chord.filed = None

    def _drop(self, chord: StoredChord) -> None:
        self._unfile(chord)
        del self._chords[chord.group_id]
