"""Follow-ups that come to the worker which has sent them, without a way through their queue.

A chain of short tasks is mostly trips: its next message is stored, its worker woken, the message taken. Where a worker
waits for work in a queue that is empty, the script that settles hands the message on to it (`settle.lua`), held by its
lease like any other. Owns what may be handed on and what becomes of it until `reserve` returns it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from celeriac.exceptions import CeleriacError
from celeriac.message import Delivery
from celeriac.storage.redis.envelope import opened

if TYPE_CHECKING:
    from celeriac.brokers.redis.leasing import Lease
    from celeriac.message import Publication
    from celeriac.outcome import Settlement
    from celeriac.storage.redis.commands import Arg

#: Follow-ups that one trip of settlements may hand on: others wait for work, too.
_MOST_HANDED_ON: Final = 4


class Handover:
    """What is handed on to the call of `reserve` that waits.

    Args:
        lease: by which it is held.
        steps: of the queues.
        release: gives back what cannot be returned.
        nudge: wakes the call that waits.
    """

    def __init__(
        self,
        lease: Lease,
        steps: Sequence[int],
        release: Callable[[Sequence[Delivery]], Awaitable[None]],
        nudge: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._steps = steps
        self._release = release
        self._nudge = nudge
        #: The queues that a call waits for, and how many messages it takes.
        self._wanted: tuple[Sequence[str], int] | None = None
        self._handed: list[Delivery] = []
        self._returns: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        """Something is here."""
        return bool(self._handed)

    def begin(self, queues: Sequence[str], limit: int) -> None:
        """A call waits for so many messages from these queues."""
        self._wanted = (queues, limit)

    def end(self) -> None:
        """It waits no more."""
        self._wanted = None
        self._give_back_soon(self._handed)
        self._handed = []

    def joined(self, deliveries: list[Delivery], limit: int) -> list[Delivery]:
        """What was handed on and these, as far as there is room; the rest is given back."""
        everything, self._handed = [*self._handed, *deliveries], []
        self._give_back_soon(everything[limit:])
        return everything[:limit]

    def ask(self, part: Sequence[Settlement]) -> tuple[int, int, list[Arg]]:
        """What a trip that writes these may hand on.

        Returns:
            Most messages, the number of the first of them, and the arguments that tell the script.
        """
        if self._wanted is None or self._handed or self._lease.in_doubt:
            return 0, 0, [0]
        queues, limit = self._wanted
        count = min(sum(len(settlement.follow_ups) for settlement in part), limit, _MOST_HANDED_ON)
        if count <= 0:
            return 0, 0, [0]
        first = self._lease.draw(count)
        asked: list[Arg] = [count, self._lease.field_prefix, first, len(self._steps)]
        asked += self._steps
        return count, first, [*asked, len(queues), *queues]

    def take(self, numbers: bytes, part: Sequence[Settlement], first: int) -> None:
        """What `settle.lua` says was handed on.

        Args:
            numbers: of follow-ups of the trip, from 1.
            part: what the trip has written.
            first: the number of the first message.
        """
        if not numbers:
            return
        follow_ups = [publication for settlement in part for publication in settlement.follow_ups]
        chosen = [follow_ups[int(number) - 1] for number in numbers.split(b",")]
        deliveries = [self._held(publication, number) for number, publication in enumerate(chosen, first)]
        self._lease.in_hand.update(delivery.tag for delivery in deliveries)
        if self._wanted is None:  # it has got others meanwhile, and is busy
            self._give_back_soon(deliveries)
        else:
            self._handed += deliveries
            self._nudge()

    def _held(self, sent: Publication, number: int) -> Delivery:
        """The delivery of what was sent from here: the store need not tell what is in it."""
        one = opened(sent.message, sent.queue, sent.priority)
        delivery = Delivery(number, self._lease.token, one.packed, sent.queue, one.priority)
        if one.head is not None:
            delivery.note_head(one.head)
        return delivery

    async def close(self) -> None:
        """Wait for what is being given back; all that is held after that goes back with the lease."""
        await asyncio.gather(*self._returns, return_exceptions=True)

    def _give_back_soon(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            returning = asyncio.get_running_loop().create_task(self._give_back(list(deliveries)))
            self._returns.add(returning)
            returning.add_done_callback(self._returns.discard)

    async def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        try:
            await self._release(deliveries)
        except CeleriacError:
            # Nobody runs them here: the server gives back what it holds for this worker and that does not know of.
            self._lease.in_hand.difference_update(delivery.tag for delivery in deliveries)
            self._lease.in_doubt = True
