"""A worker's time at the broker, from `open` to `close`: its lease, its connections, and what it must not forget.

Owns what becomes of a trip whose answer is lost. One link carries all that the worker asks for, another its lease, so
that a long trip does not cost the lease; a channel wakes it (`waiting`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.brokers.batches import WrittenParts, split
from celeriac.brokers.redis import scripts
from celeriac.brokers.redis.handing import Handover
from celeriac.brokers.redis.leasing import Lease, field_of
from celeriac.brokers.redis.reserving import TAKEN_BYTES, Taken, read_recovered, read_taken
from celeriac.brokers.redis.settling import SettlementWriter, read_refused
from celeriac.brokers.redis.waiting import FRESH_SECONDS, LOOKOUT_MS, WorkWaiter
from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.outcome import Keep
from celeriac.storage.redis.async_links import AsyncLink
from celeriac.storage.redis.keys import SETTLED_SLOTS
from celeriac.storage.redis.version import check_version

if TYPE_CHECKING:
    from celeriac.brokers.redis.publishing import Layout
    from celeriac.clock import Clock
    from celeriac.message import Delivery
    from celeriac.outcome import Settlement
    from celeriac.storage.redis.commands import Arg
    from celeriac.storage.redis.location import Location
    from celeriac.storage.redis.scripts import Script

logger = logging.getLogger("celeriac.broker")

#: Bytes of one trip of settlements.
_SETTLED_BYTES: Final = 8 * 1024 * 1024
#: Milliseconds for which a batch is remembered. Beyond it, a batch whose answer was lost looks taken over.
_REMEMBERED_MS: Final = 600_000
#: Seconds between log lines about one key that is in the way.
_TELL_AGAIN_SECONDS: Final = 60.0


class Session:
    """What is there while a broker is open.

    Args:
        location: which Redis.
        layout: where messages go.
        writer: writes settlements.
        clock: see `scripts.common_arguments`.
        lease: to be taken by `open`.

    Attributes:
        lease: the worker's.
        is_open: until `close`.
    """

    def __init__(
        self, location: Location, layout: Layout, writer: SettlementWriter, clock: Clock, lease: Lease
    ) -> None:
        self.lease = lease
        self.is_open = True
        self._location = location
        self._layout = layout
        self._keys = layout.keys
        self._writer = writer
        self._clock = clock
        self._link, self._lease_link = AsyncLink(location), AsyncLink(location)
        self._waiter = WorkWaiter(location, self._link, self._pass_on)
        #: Queues that this worker has waited for since it was last too busy to wait: it may be their lookout.
        self._waited: set[str] = set()
        self._bound: set[str] = set()
        #: Keys that are in the way, and when that was told.
        self._misfits: dict[str, float] = {}
        #: One batch at a time, so that the server need not remember many.
        self._settling = asyncio.Lock()
        self._batches = 0
        #: Of the link, when what the server holds was last compared with what is in hand.
        self._known_generation = 0
        #: Batches whose answer was lost: their numbers and places in the server's memory, by what they settle.
        self._unanswered: dict[tuple[str, ...], tuple[int, int]] = {}
        self._written = WrittenParts()
        #: Queues that were found empty, when that was, and what had rung until then.
        self._empty: tuple[frozenset[str], float, int] | None = None
        self._handover = Handover(lease, layout.steps, self.release, self._waiter.nudge)

    async def open(self) -> None:
        """Take the lease and begin to listen."""
        try:
            await check_version(self._link, self._location.address)
            await self._run(scripts.OPEN, [self.lease.seconds])
        except BaseException:
            await self._link.close()
            raise
        self._known_generation = self._link.generation
        self._waiter.start(self._keys.wake(self.lease.id))

    async def close(self) -> None:
        """Give everything back and hang up."""
        self.is_open = False
        await self._waiter.stop()
        await self._handover.close()
        memories = [self._keys.settled(self.lease.id, slot) for slot in range(SETTLED_SLOTS)]
        try:
            await self._run(scripts.CLOSE, [len(memories), *memories, *self._waited])
        finally:
            await self._link.close()
            await self._lease_link.close()

    async def reserve(self, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        """Take messages; see `Broker.reserve`. Which queue is first is for the caller to say."""
        loop, waiter = asyncio.get_running_loop(), self._waiter
        deadline = loop.time() + wait
        waiter.waiting += 1
        self._handover.begin(queues, limit)
        try:
            await self._bind(queues)
            while self.is_open:
                seen, remaining = waiter.rings, deadline - loop.time()
                is_lookout = True
                if remaining <= 0 or not self._is_known_empty(queues, seen):
                    taken = await self._take(queues, limit, waits=remaining > 0)
                    if taken.deliveries or self._handover or remaining <= 0:
                        return self._handover.joined(taken.deliveries, limit)
                    watched = [key for queue in taken.watched for key in self._layout.lists(queue)]
                    waiter.set_alarm(taken.next_due)
                    if watched and await waiter.watch(watched):
                        continue  # it came between the two looks
                    is_lookout = bool(watched)
                    if is_lookout and len(taken.watched) == len(queues) and waiter.is_told:
                        self._empty = frozenset(queues), loop.time(), seen
                if not self._handover:
                    await waiter.sleep(remaining, seen, is_lookout=is_lookout)
                if self._handover:
                    return self._handover.joined([], limit)
        except OperationalError:
            if self.is_open:
                raise
        finally:
            waiter.waiting -= 1
            self._handover.end()
        return []  # closed meanwhile

    def _is_known_empty(self, queues: Sequence[str], rings: int) -> bool:
        """They were empty a moment ago, and the server would have told of a change."""
        if self._empty is None or not self._waiter.is_told:
            return False
        names, looked_at, rung = self._empty
        fresh = asyncio.get_running_loop().time() - looked_at < FRESH_SECONDS
        return fresh and rung == rings and names == frozenset(queues)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Write settlements; returns those that were refused."""
        refused: list[Settlement] = []
        accepted: list[Settlement] = []
        async with self._settling:
            for part in split(self._written.without_written(settlements), _SETTLED_BYTES):
                try:
                    lost = await self._settle_part(part)
                except BaseException:
                    self._written.keep(accepted)
                    raise
                refused.extend(lost)
                gone = {id(settlement) for settlement in lost}
                accepted.extend(settlement for settlement in part if id(settlement) not in gone)
        return refused

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Mark what is about to run; returns what is not held any more."""
        numbers = await self._run(scripts.MARK_STARTED, [field_of(one) for one in deliveries])
        lost = [deliveries[number - 1] for number in numbers]
        self._forget(lost)
        return lost

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back to the front."""
        if deliveries:
            newest_first = sorted(deliveries, key=lambda one: int(one.tag), reverse=True)
            await self._run(scripts.RELEASE, [field_of(one) for one in newest_first])
            self._forget(deliveries)

    async def renew(self) -> bool:
        """Prolong the lease; see `Broker.renew`."""
        left = await self._run(scripts.RENEW, [self.lease.seconds, *self._bound], self._lease_link)
        lapsed, self.lease.lapsed = not left or self.lease.lapsed, False
        if lapsed:
            self._bound.clear()  # the server may have lost all it had
        return not lapsed

    async def recover(self, limit: int) -> list[Delivery]:
        """Take over from the dead; see `Broker.recover`."""
        lease = self.lease

        def arguments(first: int) -> list[Arg]:
            return [lease.seconds, limit, TAKEN_BYTES, lease.field_prefix, first]

        def read(reply: list[Any], first: int) -> list[Delivery]:
            lapsed, *groups = reply
            lease.lapsed = lease.lapsed or bool(lapsed)
            return read_recovered(groups, lease, first)

        return await self._make_taking_trip(scripts.RECOVER, max(limit, 0), arguments, read, self._lease_link)

    # -- trips ----------------------------------------------------------------------------------------------------

    async def _run(self, script: Script, arguments: Sequence[Arg], link: AsyncLink | None = None) -> Any:
        common = scripts.common_arguments(self._keys, self._clock, self.lease.id)
        try:
            return await (link or self._link).run(script, [self._keys.leases], [*common, *arguments])
        except (OperationalError, StoreRefused) as error:
            code, _, seconds = str(error.__cause__).partition(" ")
            if code != "NAMETAKEN":
                raise
            raise OperationalError(
                f"another worker named {self.lease.owner!r} holds a lease; give this one another name, "
                f"or wait {float(seconds):.0f} s if that one was killed"
            ) from None

    async def _make_taking_trip(
        self,
        script: Script,
        count: int,
        arguments: Callable[[int], Sequence[Arg]],
        read: Callable[[Any, int], list[Delivery]],
        link: AsyncLink,
    ) -> list[Delivery]:
        """Run a script that takes messages; what earlier trips took without being heard is given back before.

        Args:
            script: what to run.
            count: most messages that it takes.
            arguments: its arguments, by the number of the first message.
            read: reads its answer, by the same.
            link: where to run it.
        """
        await self._reclaim(link)
        lease = self.lease
        first = lease.draw(count)
        trip = (first, first + count - 1)
        lease.under_way.add(trip)
        try:
            deliveries = read(await self._run(script, arguments(first), link), first)
        except BaseException:
            lease.given_up, lease.in_doubt = max(lease.given_up, trip[1]), True
            raise
        finally:
            lease.under_way.discard(trip)
        lease.in_hand.update(delivery.tag for delivery in deliveries)
        return deliveries

    async def _reclaim(self, link: AsyncLink) -> None:
        """After a lost answer, and after a lost connection: the server may have come back with less than it had."""
        lease, generation = self.lease, self._link.generation
        if not lease.in_doubt and generation == self._known_generation:
            return
        lease.in_doubt = False
        trips = [number for trip in lease.under_way for number in trip]
        arguments: list[Arg] = [lease.given_up, lease.number, len(lease.under_way), *trips, *lease.in_hand]
        try:
            given_back = await self._run(scripts.RECLAIM, arguments, link)
        except BaseException:
            lease.in_doubt = True
            raise
        self._known_generation = generation
        if given_back:
            logger.info("Gave back %d messages that this worker held and did not know of", given_back)

    # -- taking ---------------------------------------------------------------------------------------------------

    async def _bind(self, queues: Sequence[str]) -> None:
        """Declare queues as Celery's workers do, so that producers find them by exchange and routing key."""
        new = [queue for queue in queues if queue not in self._bound]
        if not new:
            return
        keys = self._keys
        arguments: list[Arg] = []
        for queue in new:
            self._layout.check_name(queue)
            member = keys.binding(queue, "", queue)
            arguments += (keys.bindings(queue), member, keys.permanent_bindings(queue), member)
        await self._run(scripts.BIND, arguments)
        self._bound.update(new)

    async def _take(self, queues: Sequence[str], limit: int, *, waits: bool) -> Taken:
        """One look. Should the caller be cancelled meanwhile, what was taken is given back."""
        trip = asyncio.get_running_loop().create_task(self._look(queues, limit, waits=waits))
        try:
            taken = await asyncio.shield(trip)
        except asyncio.CancelledError:
            try:
                await asyncio.wait([trip])  # it is short, or fails at its deadline
                if not trip.cancelled() and trip.exception() is None:
                    await self.release(trip.result().deliveries)
            except BaseException:
                if trip.done() and not trip.cancelled() and trip.exception() is None:
                    self._forget(trip.result().deliveries)
                self.lease.in_doubt = True
                raise
            raise
        if taken.deliveries:
            if len(taken.deliveries) >= limit:
                self._waited.clear()
        elif waits:
            self._waited.update(queues)
        return taken

    async def _look(self, queues: Sequence[str], limit: int, *, waits: bool) -> Taken:
        lease, steps = self.lease, self._layout.steps
        taken = Taken([], False, None, [], [])

        def arguments(first: int) -> list[Arg]:
            return [
                *(lease.seconds, limit, TAKEN_BYTES, lease.field_prefix, first),
                *(LOOKOUT_MS if waits else 0, "1" if self._waited else "", len(steps), *steps, *queues),
            ]

        def read(reply: list[Any], first: int) -> list[Delivery]:
            nonlocal taken
            taken = read_taken(reply, lease, first)
            return taken.deliveries

        await self._make_taking_trip(scripts.RESERVE, max(limit, 0), arguments, read, self._link)
        lease.lapsed = lease.lapsed or taken.lapsed
        self._tell_of_misfits(taken.misfits)
        return taken

    def _forget(self, deliveries: Sequence[Delivery]) -> None:
        """They are not this worker's any more."""
        token = self.lease.token
        self.lease.in_hand.difference_update(delivery.tag for delivery in deliveries if delivery.token == token)

    def _tell_of_misfits(self, keys: Sequence[str]) -> None:
        """Say it again from time to time, not at every look."""
        now = asyncio.get_running_loop().time()
        for key in keys:
            if now - self._misfits.get(key, -math.inf) >= _TELL_AGAIN_SECONDS:
                self._misfits[key] = now
                logger.error(
                    "Nothing can be taken by way of the key %r at %s: it is something else than a queue's. Rename or "
                    "delete it",
                    key,
                    self._location.address,
                )

    async def _pass_on(self) -> None:
        """Have another worker woken: this one was, and has no time."""
        waited = set(self._waited)
        if waited and self.is_open:
            await self._run(scripts.PASS_ON, sorted(waited))
            self._waited -= waited

    # -- settling -------------------------------------------------------------------------------------------------

    async def _settle_part(self, part: Sequence[Settlement]) -> list[Settlement]:
        fields = tuple(field_of(settlement.delivery) for settlement in part)
        known = self._unanswered.pop(fields, None)
        batch, slot = self._new_batch() if known is None else known
        memory, lease = self._keys.settled(self.lease.id, slot), self.lease
        count, first, handing = self._handover.ask(part)
        settlements = self._writer.write(part, self._clock.time(), handing)
        arguments: list[Arg] = [batch, memory, _REMEMBERED_MS, self._writer.results.final_mark or "", *settlements]
        trip = (first, first + count - 1)
        if count:
            lease.under_way.add(trip)
        try:
            answer, *handed_on = await self._run(scripts.SETTLE, arguments)
        except BaseException:
            self._unanswered[fields] = (batch, slot)  # it may have been written
            if count:
                lease.given_up, lease.in_doubt = max(lease.given_up, trip[1]), True
            raise
        finally:
            lease.under_way.discard(trip)
        self._forget([one.delivery for one in part if one.fenced and type(one.action) is not Keep])
        if count and handed_on:
            self._handover.take(handed_on[0], part, first)
        return read_refused(answer, part)

    def _new_batch(self) -> tuple[int, int]:
        """A number and a place in the server's memory, where no batch without an answer lies."""
        self._batches += 1
        taken = {slot for _, slot in self._unanswered.values()}
        for slot in range(SETTLED_SLOTS):
            if slot not in taken:
                return self._batches, slot
        # So many callers do not come back: their batches, should they come, count as new ones.
        oldest = next(iter(self._unanswered))
        _, slot = self._unanswered.pop(oldest)
        return self._batches, slot
