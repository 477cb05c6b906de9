"""Chords in Redis, at Celery's keys: `ChordStore`, in its order. What is written is in the Lua scripts beside it.

Owns no connections: a result backend and a broker lend theirs. What a broker settles goes to the same keys, by scripts
of its own that build on the same `chords.lua`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.backends.redis.chord_writing import ChordRules, ChordTable
from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.storage.redis.keys import ResultKeys, id_bytes, id_text
from celeriac.storage.redis.scripts import Script, load_script

if TYPE_CHECKING:
    from celeriac.storage.redis.async_links import AsyncLink
    from celeriac.storage.redis.commands import Arg
    from celeriac.storage.redis.links import Links


def _script(name: str, *more: str) -> Script:
    included = tuple(("celeriac.storage.redis", each) for each in ("chords", *more))
    return load_script("celeriac.backends.redis", name, included)


START_CHORDS: Final = _script("start_chords")
ADD_SHARES: Final = _script("add_shares", "chord_growth")
CLAIM_CHORDS: Final = _script("claim_chords")
RENEW_CLAIMS: Final = _script("renew_claims")
END_CHORDS: Final = _script("end_chords")
CHORD_STATE: Final = _script("chord_state")
BREAK_CHORD: Final = _script("break_chord")
OPEN_CHORDS: Final = _script("open_chords")


class RedisChords:
    """Chords that workers of Celery and of Celeriac may join together.

    Args:
        rules: how they are kept.
        links: connections for threads.
        here: the link of the running event loop.
        clock: for claims; the system's stands for the server's own.
    """

    def __init__(self, rules: ChordRules, links: Links, here: Callable[[], AsyncLink], clock: Clock) -> None:
        self.rules = rules
        self._links = links
        self._here = here
        self._clock = clock
        self._nothing = ResultKeys(rules.prefix).nothing

    def start_chords(self, starts: Sequence[ChordStart]) -> None:
        """See `ChordStore.start_chords`."""
        if starts:
            self._links.run(START_CHORDS, [self._nothing], self._start_arguments(starts))

    async def astart_chords(self, starts: Sequence[ChordStart]) -> None:
        """See `ChordStore.astart_chords`."""
        if starts:
            await self._run(START_CHORDS, self._start_arguments(starts))

    async def add_shares(self, shares: Sequence[ChordShare], grown: Sequence[ChordGrowth] = ()) -> None:
        """See `ChordStore.add_shares`."""
        if not (shares or grown):
            return
        table = ChordTable(self.rules)
        named = [*table.grown(grown), *table.shares(shares)]
        await self._run(ADD_SHARES, [self._now(), *table.arguments(), *named])

    async def claim_chords(self, queues: Sequence[str], limit: int, seconds: float) -> list[ClaimedChord]:
        """See `ChordStore.claim_chords`. A chord that one of Celery's workers has claimed waits until that runs out."""
        if not queues or limit <= 0:
            return []
        arguments: list[Arg] = [self._now(), self.rules.prefix, limit, seconds, f"{uuid.uuid4().hex}.", *queues]
        return [_read_claimed(row) for row in await self._run(CLAIM_CHORDS, arguments)]

    async def renew_claims(self, ends: Sequence[ChordEnd], seconds: float) -> list[ChordEnd]:
        """See `ChordStore.renew_claims`."""
        if not ends:
            return []
        table = ChordTable(self.rules)
        named = table.ends(ends)
        refused = await self._run(RENEW_CLAIMS, [self._now(), *table.arguments(), seconds, *named])
        return [ends[number - 1] for number in refused]

    async def end_chords(self, ends: Sequence[ChordEnd]) -> list[ChordEnd]:
        """See `ChordStore.end_chords`."""
        if not ends:
            return []
        table = ChordTable(self.rules)
        named = table.ends(ends)
        refused = await self._run(END_CHORDS, ["", *table.arguments(), *named])
        return [ends[number - 1] for number in refused]

    def chord_state(self, group_id: str) -> ChordState:
        """See `ChordStore.chord_state`."""
        reply = self._links.run(CHORD_STATE, [self._nothing], [self.rules.prefix, id_bytes(group_id)])
        return _read_state(group_id, reply)

    async def achord_state(self, group_id: str) -> ChordState:
        """See `ChordStore.achord_state`."""
        return _read_state(group_id, await self._run(CHORD_STATE, [self.rules.prefix, id_bytes(group_id)]))

    def break_chord(self, group_id: str, reason: str, queue: str) -> bool:
        """See `ChordStore.break_chord`. One whose body a worker of Celery's makes is complete."""
        return bool(self._links.run(BREAK_CHORD, [self._nothing], self._break_arguments(group_id, reason, queue)))

    async def abreak_chord(self, group_id: str, reason: str, queue: str) -> bool:
        """See `ChordStore.abreak_chord`."""
        return bool(await self._run(BREAK_CHORD, self._break_arguments(group_id, reason, queue)))

    def open_chords(self, limit: int) -> list[ChordState]:
        """See `ChordStore.open_chords`. Those that a sender of Celery's has begun are not among them."""
        rows = self._links.run(OPEN_CHORDS, [self._nothing], [self.rules.prefix, limit])
        return [_read_open(id_text(group), described) for group, described in rows]

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _run(self, script: Script, arguments: Sequence[Arg]) -> Any:
        return await self._here().run(script, [self._nothing], arguments)

    def _now(self) -> Arg:
        return "" if self._clock is SYSTEM_CLOCK else self._clock.monotonic()

    def _break_arguments(self, group_id: str, reason: str, queue: str) -> list[Arg]:
        return [self._now(), self.rules.prefix, id_bytes(group_id), id_bytes(reason), queue]

    def _start_arguments(self, starts: Sequence[ChordStart]) -> list[Arg]:
        table = ChordTable(self.rules)
        named = table.starts(starts)
        return [self._now(), *table.arguments(), *named]


def _read_claimed(row: Sequence[Any]) -> ClaimedChord:
    group, claim, claims, body, task_id, root_id, queue, reason, priority = row
    return ClaimedChord(
        group_id=id_text(group),
        claim=claim.decode(),
        claims=claims,
        body=body,
        task_id=id_text(task_id),
        root_id=None if root_id is None else id_text(root_id),
        queue=queue.decode(),
        reason=None if reason is None else id_text(reason),
        priority=int(priority or 0),
    )


def _read_state(group_id: str, reply: Sequence[Any]) -> ChordState:
    size, is_claimed, parts, *known = reply
    return ChordState(group_id, size, tuple(parts), bool(is_claimed), *_read_known(known))


def _read_open(group_id: str, described: Sequence[Any]) -> ChordState:
    size, is_claimed, counted, *known = described
    return ChordState(group_id, size, (), bool(is_claimed), *_read_known(known), counted=counted)


def _read_known(known: Sequence[Any]) -> tuple[str, bytes, float | None, str | None]:
    queue, body, began, reason = known
    return queue.decode(), body, float(began) if began else None, None if reason is None else id_text(reason)
