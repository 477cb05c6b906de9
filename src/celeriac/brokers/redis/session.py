"""A worker's time at the broker, from `open` to `close`: its lease, its connections, and what it must not forget.

Owns what becomes of a trip whose answer is lost. One link carries all that the worker asks for, another its lease, so
that a long trip does not cost the lease; a channel wakes it (`waiting`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.brokers.batches import WrittenParts, split
from celeriac.brokers.redis import scripts
from celeriac.brokers.redis.leasing import Lease, field_of
from celeriac.brokers.redis.reserving import TAKEN_BYTES, Taken, read_recovered, read_taken
from celeriac.brokers.redis.settling import SettlementWriter, read_refused
from celeriac.brokers.redis.waiting import LOOKOUT_MS, WorkWaiter
from celeriac.exceptions import ImproperlyConfigured, OperationalError, StoreRefused
from celeriac.storage.redis.async_links import AsyncLink
from celeriac.storage.redis.keys import SETTLED_SLOTS

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
#: The first Redis with what the scripts use (RPOP with a count).
_OLDEST: Final = (6, 2)
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
        #: Batches whose answer was lost: their numbers, by what they settle.
        self._unanswered: dict[tuple[str, ...], int] = {}
        self._written = WrittenParts()

    async def open(self) -> None:
        """Take the lease and begin to listen."""
        try:
            await self._check_version()
            await self._run(scripts.OPEN, [self.lease.seconds])
        except BaseException:
            await self._link.close()
            raise
        self._waiter.start(self._keys.wake(self.lease.id))

    async def close(self) -> None:
        """Give everything back and hang up."""
        self.is_open = False
        await self._waiter.stop()
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
        try:
            await self._bind(queues)
            while self.is_open:
                seen, remaining = waiter.rings, deadline - loop.time()
                taken = await self._take(queues, limit, waits=remaining > 0)
                if taken.deliveries or remaining <= 0:
                    return taken.deliveries
                watched = [key for queue in taken.watched for key in self._layout.lists(queue)]
                waiter.set_alarm(taken.next_due)
                if watched and await waiter.watch(watched):
                    continue  # it came between the two looks
                await waiter.sleep(remaining, seen, is_lookout=bool(watched))
        except OperationalError:
            if self.is_open:
                raise
        finally:
            waiter.waiting -= 1
        return []  # closed meanwhile

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
        lost = await self._run(scripts.MARK_STARTED, [field_of(one) for one in deliveries])
        return [deliveries[number - 1] for number in lost]

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give back to the front."""
        if deliveries:
            newest_first = sorted(deliveries, key=lambda one: int(one.tag), reverse=True)
            await self._run(scripts.RELEASE, [field_of(one) for one in newest_first])

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
        first = lease.draw(limit)
        arguments: list[Arg] = [lease.seconds, limit, TAKEN_BYTES, lease.field_prefix, first]
        lapsed, *groups = await self._run_taking(scripts.RECOVER, arguments, first, limit, self._lease_link)
        lease.lapsed = lease.lapsed or bool(lapsed)
        return read_recovered(groups, lease, first)

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

    async def _run_taking(
        self, script: Script, arguments: Sequence[Arg], first: int, count: int, link: AsyncLink
    ) -> Any:
        """Run a script that takes messages, after giving back what earlier ones took without being heard."""
        await self._reclaim(link)
        generation, was_connected = link.generation, link.is_connected
        try:
            return await self._run(script, arguments, link)
        except BaseException:
            if was_connected or link.generation != generation:  # else nothing can have been sent
                self.lease.note_unsure(first, count)
            raise

    async def _reclaim(self, link: AsyncLink) -> None:
        lease = self.lease
        unsure, lease.unsure = lease.unsure, []
        if not unsure:
            return
        try:
            given_back = await self._run(scripts.RECLAIM, [number for pair in unsure for number in pair], link)
        except BaseException:
            lease.unsure = unsure + lease.unsure
            raise
        if given_back:
            logger.info("Gave back %d messages that an interrupted trip had taken", given_back)

    async def _check_version(self) -> None:
        """Say what is wrong before a script fails with words that nobody understands."""
        try:
            info = await self._link.call("INFO", "server")
        except (OperationalError, StoreRefused):
            if not self._link.is_connected:
                raise
            return  # its user may not ask
        match = re.search(rb"redis_version:(\d+)\.(\d+)[^\r]*", info)
        if match and (int(match[1]), int(match[2])) < _OLDEST:
            raise ImproperlyConfigured(
                f"{self._location.address} is Redis {match[0].partition(b':')[2].decode()}, which is too old: "
                f"{_OLDEST[0]}.{_OLDEST[1]} or newer is needed (or any Valkey)"
            )

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
        first = self.lease.draw(limit)
        trip = asyncio.get_running_loop().create_task(self._look(queues, limit, first, waits=waits))
        try:
            taken = await asyncio.shield(trip)
        except asyncio.CancelledError:
            try:
                await asyncio.wait([trip])  # it is short, or fails at its deadline
                if not trip.cancelled() and trip.exception() is None:
                    await self.release(trip.result().deliveries)
            except BaseException:
                self.lease.note_unsure(first, limit)
                raise
            raise
        if taken.deliveries:
            if len(taken.deliveries) >= limit:
                self._waited.clear()
        elif waits:
            self._waited.update(queues)
        return taken

    async def _look(self, queues: Sequence[str], limit: int, first: int, *, waits: bool) -> Taken:
        lease, steps = self.lease, self._layout.steps
        arguments = [
            *(lease.seconds, limit, TAKEN_BYTES, lease.field_prefix, first),
            *(LOOKOUT_MS if waits else 0, "1" if self._waited else "", len(steps), *steps, *queues),
        ]
        reply = await self._run_taking(scripts.RESERVE, arguments, first, limit, self._link)
        taken = read_taken(reply, lease, first)
        lease.lapsed = lease.lapsed or taken.lapsed
        self._tell_of_misfits(taken.misfits)
        return taken

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
        waited, self._waited = self._waited, set()
        if waited and self.is_open:
            await self._run(scripts.PASS_ON, sorted(waited))

    # -- settling -------------------------------------------------------------------------------------------------

    async def _settle_part(self, part: Sequence[Settlement]) -> list[Settlement]:
        fields = tuple(field_of(settlement.delivery) for settlement in part)
        batch = self._unanswered.get(fields)
        if batch is None:
            self._batches += 1
            batch = self._batches
        settlements = self._writer.write(part, self._clock.time())
        memory = self._keys.settled(self.lease.id, batch % SETTLED_SLOTS)
        arguments: list[Arg] = [batch, memory, _REMEMBERED_MS, self._writer.results.final_mark or "", *settlements]
        try:
            answer = await self._run(scripts.SETTLE, arguments)
        except BaseException:
            self._unanswered[fields] = batch  # it may have been written
            if len(self._unanswered) > SETTLED_SLOTS:  # the server remembers no more of them
                del self._unanswered[next(iter(self._unanswered))]
            raise
        self._unanswered.pop(fields, None)
        return read_refused(answer, part)
