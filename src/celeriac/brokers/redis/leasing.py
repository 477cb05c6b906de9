"""Leases: what this process knows of its own. See docs/adr/0002 and 0003."""

from __future__ import annotations

import secrets

import msgspec

from celeriac.message import Delivery


class Lease(msgspec.Struct):
    """What this worker holds all its messages by.

    Attributes:
        owner: the name, for histories and errors.
        seconds: how long it lasts from the last renewal.
        token: drawn at random; part of the lease's id and of all names under which messages are held.
        number: of the next message that is held by it.
        lapsed: it had run out before it was prolonged, and nobody has been told yet.
        in_hand: numbers of what this worker knows that it holds.
        under_way: first and last number of trips that are not answered yet.
        given_up: the largest number of trips whose answers were lost.
        in_doubt: the server may hold more for this worker than it knows of.
    """

    owner: str
    seconds: float
    token: int = msgspec.field(default_factory=lambda: secrets.randbits(48))
    number: int = 1
    lapsed: bool = False
    in_hand: set[int | str] = msgspec.field(default_factory=set)
    under_way: set[tuple[int, int]] = msgspec.field(default_factory=set)
    given_up: int = 0
    in_doubt: bool = False

    @property
    def id(self) -> str:
        """What the server calls it."""
        return f"{self.owner}/{self.token}"

    @property
    def field_prefix(self) -> str:
        """What the names of held messages begin with."""
        return f"{self.token}."

    def draw(self, count: int) -> int:
        """Reserve numbers for `count` messages and return the first. Those that are not used are lost."""
        first = self.number
        self.number += max(count, 0)
        return first


def field_of(delivery: Delivery) -> str:
    """The name under which it is held. It differs for each delivery, so it is the fence too."""
    return f"{delivery.token}.{delivery.tag}"
