"""How far a chord is, as the stores count that keep it themselves: what one more member changes, and who claims it.

Owns the rules and no storage. Completeness is seen without a look at the shares: a store says which of them are new to
it, membership decides that, and the number is kept beside the size.
"""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from celeriac.chords import ChordShare, ChordStart

#: Seconds for which an ended chord is remembered, so that shares which come late are dropped.
ENDED_SECONDS: Final = 3600.0
#: Seconds for which a chord is kept that has grown and has neither begun nor got a share: nobody has said how long.
GROWN_SECONDS: Final = 86400.0
_CLAIM_BYTES: Final = 9


class Tally(msgspec.Struct):
    """The numbers of one chord.

    Attributes:
        size: of its header; None until it begins.
        added: members that were added since.
        shares: members that have given theirs.
        expires: Unix time from which it may be swept.
        ended: its body was sent.
        last: the share that made it complete, or the last one so far while it is not. Only of those that were counted
            with this object.
    """

    size: int | None = None
    added: int = 0
    shares: int = 0
    expires: float | None = None
    ended: bool = False
    last: ChordShare | None = None

    @property
    def is_complete(self) -> bool:
        """All members have given their share. One at least: without any nobody knows the body."""
        return self.size is not None and self.shares > 0 and self.shares >= self.size + self.added

    @property
    def may_be_complete(self) -> bool:
        """It is complete, or may be without one more share: when it begins, or when members are withdrawn."""
        return self.is_complete or self.size is None or self.added > 0

    @property
    def members(self) -> int | None:
        """How many there are in all, or None if it is not known."""
        return None if self.size is None else self.size + self.added

    def has_expired(self, now: float) -> bool:
        """Its time is over: what comes now belongs to another chord of this name."""
        return self.expires is not None and self.expires <= now

    def begin(self, start: ChordStart, now: float) -> None:
        """It begins. Who says so again changes nothing but its time; after its end it is a new run, as in Celery."""
        if self.size is None:
            self.size, self.ended = start.size, False
        self._prolong(start.ttl, now)

    def grow(self, members: int, now: float) -> None:
        """It has so many members more, or less if some were withdrawn."""
        if members and self.size is None and not self.shares and not self.added:
            self._prolong(GROWN_SECONDS, now)
        self.added += members

    def count(self, share: ChordShare, now: float) -> None:
        """A member has given its first share."""
        if not self.is_complete:
            self.last = share
        self.shares += 1
        self._prolong(share.ttl, now)

    def end(self, now: float) -> None:
        """Its body was sent."""
        self.ended = True
        self.expires = now + ENDED_SECONDS

    def _prolong(self, ttl: float | None, now: float) -> None:
        """Keep it for so long from now, or for as long as was said before: some of its members may be due later."""
        if ttl is None:
            self.expires = None
        else:
            self.expires = max(now + ttl, self.expires or 0.0)


def new_claim() -> str:
    """A claim that nobody can guess."""
    return secrets.token_urlsafe(_CLAIM_BYTES)


def is_live(ends: float | None, seconds: float, now: float) -> bool:
    """A claim has not run out; times are readings of the monotonic clock, as those of leases are (docs/adr/0003)."""
    return ends is not None and now < ends <= now + seconds
