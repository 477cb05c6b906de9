"""Short words for the contract of chord stores: chords, what their members come to, and who claims them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from celeriac.backends.base import ChordStore
from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord

#: Seconds for which chords are claimed in these tests, by the virtual clock.
CLAIM: Final = 30.0
BODY: Final = b'{"task": "body", "args": ["\xc3\xbc"]}'


class MakeChords(Protocol):
    """Gives one more chord store on the store of this test."""

    def __call__(self) -> ChordStore: ...


def start(size: int, group_id: str = "g", ttl: float | None = None) -> ChordStart:
    """A chord begins."""
    return ChordStart(group_id, size, ttl)


def share(
    name: object,
    index: int | None = None,
    group_id: str = "g",
    *,
    queue: str = "q",
    ttl: float | None = None,
    body: bytes = BODY,
    root_id: str | None = "root",
    priority: int = 0,
) -> ChordShare:
    """What the member `name` has come to: its own name, in capitals."""
    part = msgspec.json.encode([1, str(name), "SUCCESS", str(name).upper()])
    return ChordShare(group_id, str(name), index, part, body, root_id, queue, ttl, priority)


def growth(*members: str, group_id: str = "g", cause: str = "adder", retries: int = 0, losses: int = 0) -> ChordGrowth:
    """All members that a run of `cause` adds to a chord."""
    return ChordGrowth(group_id, cause, members, retries, losses)


def shares(count: int, group_id: str = "g") -> list[ChordShare]:
    """Those of the members m0, m1, ..."""
    return [share(f"m{n}", n, group_id) for n in range(count)]


def results(state: ChordState) -> list[str]:
    """What members have come to. Parts are compared by what they mean: a store may have to tell equal ones apart."""
    return [msgspec.json.decode(part)[3] for part in state.parts]


async def claim(chords: ChordStore, *queues: str, limit: int = 10) -> list[ClaimedChord]:
    """Claim what can be had."""
    return await chords.claim_chords(queues or ("q",), limit, CLAIM)


def ids(claimed: Sequence[ClaimedChord]) -> list[str]:
    """Of claimed chords, in no order."""
    return sorted(chord.group_id for chord in claimed)


def end_of(chord: ClaimedChord) -> ChordEnd:
    """Its body was sent."""
    return ChordEnd(chord.group_id, chord.claim)


def present(chords: ChordStore | None) -> ChordStore:
    """The chord store of one that has one."""
    assert chords is not None
    return chords
