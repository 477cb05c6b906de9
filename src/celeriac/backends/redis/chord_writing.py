"""From chords to the arguments of scripts that include `chords.lua`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from celeriac.storage.redis.keys import id_bytes

if TYPE_CHECKING:
    from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart
    from celeriac.storage.redis.commands import Arg


class ChordRules(NamedTuple):
    """How chords are kept.

    Attributes:
        prefix: of all keys.
        ordered: parts by their places in the header; else as they come (`result_chord_ordered`).
    """

    prefix: str
    ordered: bool = True


#: For the root of a tree.
_ITSELF: Final = b"="


class ChordTable:
    """The chords that a call of a script is about. What its shares have in common is told once.

    Args:
        rules: how they are kept.
    """

    def __init__(self, rules: ChordRules) -> None:
        self._rules = rules
        self._chords: dict[str, int] = {}
        self._senders: dict[tuple[str, bytes, str, int, float | None], int] = {}

    def chord(self, group_id: str) -> int:
        """Its number, from 1."""
        return self._chords.setdefault(group_id, len(self._chords) + 1)

    def share(self, share: ChordShare) -> tuple[Arg, ...]:
        """Arguments of one: sender, member, root, part."""
        sender = (share.group_id, share.body, share.queue, share.priority, share.ttl)
        number = self._senders.get(sender)
        if number is None:
            self.chord(share.group_id)
            number = self._senders[sender] = len(self._senders) + 1
        # Not in what shares have in common: each member of a group that was sent by itself is a root.
        root = _ITSELF if share.root_id == share.task_id else id_bytes(share.root_id or "")
        return number, id_bytes(share.member), root, share.part

    def shares(self, shares: Sequence[ChordShare]) -> list[Arg]:
        """Their number, and the arguments of each."""
        arguments: list[Arg] = [len(shares)]
        for share in shares:
            arguments += self.share(share)
        return arguments

    def starts(self, starts: Sequence[ChordStart]) -> list[Arg]:
        """Their number; chord, size, seconds, body, root id, queue of each."""
        arguments: list[Arg] = [len(starts)]
        for start in starts:
            arguments += (self.chord(start.group_id), start.size, lasting(start.ttl))
            arguments += (start.body, id_bytes(start.root_id or ""), start.queue)
        return arguments

    def grown(self, grown: Sequence[ChordGrowth]) -> list[Arg]:
        """Their number; chord, cause, run, number of members, task ids of these of each."""
        arguments: list[Arg] = [len(grown)]
        for growth in grown:
            arguments += (self.chord(growth.group_id), id_bytes(growth.cause), growth.run, len(growth.members))
            arguments += map(id_bytes, growth.members)
        return arguments

    def ends(self, ends: Sequence[ChordEnd]) -> list[Arg]:
        """Their number; chord, claim of each."""
        arguments: list[Arg] = [len(ends)]
        for end in ends:
            arguments += (self.chord(end.group_id), end.claim)
        return arguments

    def arguments(self) -> list[Arg]:
        """What `read_chords` reads. To be asked when all chords have been named."""
        if not self._chords:
            return [0]
        kind = "zset" if self._rules.ordered else "list"
        arguments: list[Arg] = [len(self._chords), self._rules.prefix, kind, *map(id_bytes, self._chords)]
        arguments.append(len(self._senders))
        for group_id, body, queue, priority, ttl in self._senders:
            arguments += (self._chords[group_id], body, queue, priority, lasting(ttl))
        return arguments


def lasting(ttl: float | None) -> int:
    """How scripts are told how long to keep a chord: whole seconds as in Celery, or -1 for ever."""
    return -1 if ttl is None else max(1, math.floor(ttl))
