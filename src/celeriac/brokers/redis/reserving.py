"""From replies of `reserve.lua` and `recover.lua` to deliveries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.message import Delivery
from celeriac.storage.redis.envelope import open_envelope

if TYPE_CHECKING:
    from celeriac.brokers.redis.leasing import Lease

#: Envelopes of so many bytes end a trip.
TAKEN_BYTES: Final = 16 * 1024 * 1024

_HELD: Final = re.compile(rb"(.)\d+:(\d+):", re.DOTALL)


class Taken(msgspec.Struct):
    """What one look found.

    Attributes:
        deliveries: what was taken.
        lapsed: the lease had run out; it has been prolonged.
        next_due: seconds until the first future message of the queues that are watched, by the server's clock.
        watched: the queues that this worker is the lookout of, if nothing was taken.
        misfits: keys that are in the way of taking, since they are something else than a list (or a sorted set).
    """

    deliveries: list[Delivery]
    lapsed: bool
    next_due: float | None
    watched: list[str]
    misfits: list[str]


def read_taken(reply: list[Any], lease: Lease, first: int) -> Taken:
    """Read what `reserve.lua` returned. `first` is the number that it was given."""
    lapsed, next_due, watched, misfits, *groups = reply
    return Taken(
        _read_groups(groups, lease, first),
        bool(lapsed),
        float(next_due) if next_due else None,
        [name.decode() for name in watched],
        [key.decode("utf-8", "replace") for key in misfits],
    )


def _read_groups(groups: Iterable[list[bytes]], lease: Lease, first: int) -> list[Delivery]:
    """Read groups of envelopes, each with the name of its queue behind them. `first` is the number of the first one."""
    deliveries: list[Delivery] = []
    number = first
    for *envelopes, name in groups:
        queue = name.decode()
        for raw in envelopes:
            opened = open_envelope(raw)
            delivery = Delivery(number, lease.token, opened.packed, queue, opened.priority, opened.history)
            if opened.head is not None:
                delivery.note_head(opened.head)
            deliveries.append(delivery)
            number += 1
    return deliveries


def read_recovered(groups: Iterable[list[bytes]], lease: Lease, first: int) -> list[Delivery]:
    """Read what `recover.lua` returned behind the lease's rest."""
    deliveries: list[Delivery] = []
    number = first
    for *held, name in groups:
        owner = name.decode()
        for value in held:
            mark, queue, envelope = split_held(value)
            opened = open_envelope(envelope)
            deliveries.append(
                Delivery(
                    number, lease.token, opened.packed, queue, opened.priority, opened.history, mark == b"s", owner
                )
            )
            number += 1
    return deliveries


def split_held(value: bytes) -> tuple[bytes, str, bytes]:
    """Mark, queue and envelope of what is held, see names.lua."""
    match = _HELD.match(value)
    assert match is not None, f"not written by names.lua: {value[:60]!r}"
    end = match.end() + int(match[2])
    return match[1], value[match.end() : end].decode(), value[end:]
