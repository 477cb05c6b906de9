"""Chords as stores keep them: how one begins, what its members come to, who sends its body.

A chord is complete when as many members have given their share as its header has. Members are counted by name, so a
member that runs twice counts once. A complete chord is *claimed* by a worker, which makes the body of the shares and
ends the chord in the step that sends the body. A claim runs out, so that the body is made again if that worker died;
and whoever ends a chord under an old claim writes nothing. A chord whose members will not all come can be *broken*: it
is among the complete ones then, with a reason for which its body fails. Knows nothing of signatures: bodies are bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

_LOSSES_BITS: Final = 20
_MOST_LOSSES: Final = (1 << _LOSSES_BITS) - 1
_MOST_RETRIES: Final = (1 << 32) - 1


class ChordStart(msgspec.Struct, frozen=True):
    """A chord begins: written before the messages of its header are stored, or with them.

    Attributes:
        group_id: the chord's id, which is that of its header's group.
        size: how many members the header has.
        ttl: seconds after which what is kept of the chord may be swept if nothing happens to it, or None to keep it.
        body: the body's signature as JSON, so that the chord can be broken before a member has told it; or nothing.
        root_id: the root of the tree that the chord belongs to, if it is known.
        queue: where the first member of the header goes: whoever breaks the chord may have its body failed there.
    """

    group_id: str
    size: int
    ttl: float | None = None
    body: bytes = b""
    root_id: str | None = None
    queue: str = ""


class ChordShare(msgspec.Struct, frozen=True):
    """What one member of a chord's header has come to. Given twice, it counts once.

    Attributes:
        group_id: the chord.
        task_id: the member.
        index: its place in the header, or None for one that was added later, which comes last.
        part: `[1, task id, state, result]`, encoded by `result_serializer`: Celery's form.
        body: the body's signature as JSON, for whoever completes the chord.
        root_id: the root of the tree that the member belongs to.
        queue: where the member was taken from: workers of this queue send the body.
        ttl: as in `ChordStart`; each share begins it anew.
        priority: the level at which the member was taken; `task_inherit_parent_priority` gives the body that of the
            member that completes the chord.
    """

    group_id: str
    task_id: str
    index: int | None
    part: bytes
    body: bytes
    root_id: str | None
    queue: str
    ttl: float | None = None
    priority: int = 0

    @property
    def member(self) -> str:
        """The name under which it counts."""
        return member_name(self.task_id, self.index)


def member_name(task_id: str, index: int | None) -> str:
    """The name under which a member counts, by Celery's rule: one task can be in a header twice."""
    return f"{task_id}:{'+inf' if index is None else index}"


class ChordGrowth(msgspec.Struct, frozen=True):
    """Members that a run adds to a chord: all of them. Told again, as one that runs again does, this is what holds.

    Those that are not named any more are withdrawn, unless they have given their share: nobody waits for them, and what
    they come to later is dropped. The same goes for all that a run adds which tells it after a later one of the same
    cause: another worker has had the task since, and this one's settlement will be refused.

    Attributes:
        group_id: the chord.
        cause: who adds them: a name for the task that is the same in each of its runs, and nobody else's.
        members: their task ids. They have no place in the header.
        retries: of the task when it ran.
        losses: how often it had been lost before, since it was last retried.
    """

    group_id: str
    cause: str
    members: tuple[str, ...] = ()
    retries: int = 0
    losses: int = 0

    @property
    def run(self) -> int:
        """Which of the runs of its cause this is: more in each later one. Exact as a floating point number, too."""
        retries = max(0, min(self.retries, _MOST_RETRIES))  # of a message that anybody may have sent
        return retries << _LOSSES_BITS | min(self.losses, _MOST_LOSSES)


class ChordEnd(msgspec.Struct, frozen=True):
    """The body was sent, or failed: forget the chord, and what comes of it late.

    Attributes:
        group_id: the chord.
        claim: the claim under which the body was made; with another one by now the settlement is refused.
    """

    group_id: str
    claim: str


class ChordBreak(msgspec.Struct, frozen=True):
    """A chord waits for a member that can not say what it has come to: its message can not be read.

    Attributes:
        group_id: what may be a chord; a group that is none is left alone.
        reason: what its body fails with.
        queue: workers of this queue have it fail.
    """

    group_id: str
    reason: str
    queue: str


class ClaimedChord(msgspec.Struct, frozen=True):
    """A complete chord whose body is this worker's to make, until the claim runs out.

    Attributes:
        group_id: the chord.
        claim: to be named when it is ended.
        claims: how often it was claimed, this time included; more than a few mean that making the body kills workers.
        body: the body's signature as JSON.
        task_id: the member that completed it: the parent of the body. Of a broken chord, the last one that came, or ''.
        root_id: the root of that member's tree.
        queue: where that member was taken from. Of a broken chord, what was said when it was broken.
        reason: why the body fails, if the chord was broken.
        priority: the level at which that member was taken.
    """

    group_id: str
    claim: str
    claims: int
    body: bytes
    task_id: str
    root_id: str | None
    queue: str
    reason: str | None = None
    priority: int = 0


class ChordState(msgspec.Struct, frozen=True):
    """How far a chord is.

    Attributes:
        group_id: the chord.
        size: how many members it has; None if it is not known (the chord is over, or has never begun).
        parts: what members have come to so far, in the order of their places; `[1, task id, state, result]` each.
        is_claimed: a worker is making the body.
        queue: workers of this queue make the body: that of the member that completed it, before that of the first one,
            or while it waits for added members that of the last one that came. Empty if whoever began the chord did not
            tell it.
        body: the body's signature as JSON. Empty if whoever began the chord did not give it.
        began: Unix time of its beginning, if the body is known.
        reason: why its body fails, if it was broken.
        counted: how many parts there are, where they were left out.
    """

    group_id: str
    size: int | None
    parts: tuple[bytes, ...] = ()
    is_claimed: bool = False
    queue: str = ""
    body: bytes = b""
    began: float | None = None
    reason: str | None = None
    counted: int | None = None

    @property
    def done(self) -> int:
        """How many members have come to something."""
        return len(self.parts) if self.counted is None else self.counted

    @property
    def is_complete(self) -> bool:
        """All members have."""
        return self.size is not None and 0 < self.size <= self.done
