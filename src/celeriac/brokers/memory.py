"""The memory broker: the reference implementation, for tests and for workers without processes.

Everything happens under the store's lock in the caller's thread; no call takes long enough to need another.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from celeriac.backends.base import Backend, ChordStore
from celeriac.backends.memory import MemoryBackend, MemoryChordStore
from celeriac.brokers.base import Capabilities
from celeriac.chords import ChordStart
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import OperationalError
from celeriac.message import DeadLetter, Delivery, Loss, PackedMessage, Publication
from celeriac.outcome import Acknowledge, Bury, Keep, Requeue, ResultRecord, Settlement
from celeriac.storage.memory import Buried, HeldLease, MemoryStore, Stored, memory_store, wake_all

#: Seconds after which a waiting `reserve` looks at the clock again: a wall clock may jump.
_LOOK_INTERVAL: Final = 0.05


class MemoryBroker:
    """A broker in the memory of this process.

    Args:
        name: of the store; all brokers of this name share it.
        clock: for leases and due times.
    """

    def __init__(self, name: str = "", *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.capabilities = Capabilities(between_processes=False)
        self.address = f"memory://{name}"
        self.name = name
        self.chords: ChordStore | None = MemoryChordStore(name, clock=clock)
        self._clock = clock
        self._lease: HeldLease | None = None
        self._lapsed = False
        self._quiet_until = 0.0
        self._turn = 0
        self._wakeups: set[asyncio.Event] = set()

    @property
    def memory(self) -> MemoryStore:
        """The store."""
        return memory_store(self.name)

    # -- producing ------------------------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """See `Broker.publish`."""
        memory = self.memory
        memory.check_process()
        prepared = memory.prepare(publications)
        with memory.lock:
            memory.chords.change(self._clock.time(), starts)
            memory.add(prepared, self._clock.time())
            wakers = memory.work_waiters()
        wake_all(wakers)

    async def apublish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """See `Broker.apublish`."""
        self.publish(publications, starts)

    # -- the worker's side ----------------------------------------------------------------------------------------

    async def open(self, owner: str, *, lease_seconds: float) -> None:
        """See `Broker.open`."""
        if self._lease is not None:
            raise OperationalError(
                f"this broker is open already, as {self._lease.owner!r}; close it first, or use another one"
            )
        memory = self.memory
        memory.check_process()
        with memory.lock:
            self._refuse_second_owner(owner, 0)
            ends = self._clock.monotonic() + lease_seconds
            self._lease = HeldLease(memory.draw(), owner, lease_seconds, ends)
            memory.leases[self._lease.number] = self._lease
        self._lapsed, self._quiet_until = False, 0.0

    async def reserve(self, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        """See `Broker.reserve`."""
        lease = self._held_lease()
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        deadline = loop.time() + wait

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        self._wakeups.add(woken)
        self.memory.add_work_waiter(wake)
        try:
            while self._lease is lease:
                woken.clear()
                taken = self._take(lease, queues, limit)
                remaining = deadline - loop.time()
                if taken or remaining <= 0:
                    return taken
                try:
                    async with asyncio.timeout(min(remaining, _LOOK_INTERVAL)):
                        await woken.wait()
                except TimeoutError:
                    pass  # time to look again
            return []  # closed meanwhile
        finally:
            self.memory.remove_work_waiter(wake)
            self._wakeups.discard(woken)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """See `Broker.settle`. Results and chords that the settlements speak of are written to this store."""
        lease, memory, now = self._held_lease(), self.memory, self._clock.time()
        prepared = [memory.prepare(settlement.follow_ups) for settlement in settlements]
        refused: list[Settlement] = []
        records: list[ResultRecord] = []
        with memory.lock:
            for settlement, follow_ups in zip(settlements, prepared, strict=True):
                flow = settlement.flow
                stale = flow is not None and not all(memory.chords.is_current(end, now) for end in flow.ends)
                if stale or not self._write(lease, settlement):
                    refused.append(settlement)
                    continue
                if settlement.result is not None:
                    records.append(settlement.result)
                if flow is not None:
                    records.extend(flow.results)
                    memory.chords.change(now, flow.starts, flow.grown, flow.shares)
                    memory.chords.end(flow.ends, now)
                memory.add(follow_ups, now)
            wakers = memory.put_results(records, now) + memory.work_waiters()
        wake_all(wakers)
        return refused

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """See `Broker.mark_started`."""
        lease, memory = self._held_lease(), self.memory
        lost: list[Delivery] = []
        with memory.lock:
            for delivery in deliveries:
                stored = self._held(lease, delivery)
                if stored is None:
                    lost.append(delivery)
                else:
                    stored.started = True
        return lost

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """See `Broker.release`."""
        lease, memory = self._held_lease(), self.memory
        with memory.lock:
            self._give_back(self._held(lease, delivery) for delivery in deliveries)
            wakers = memory.work_waiters()
        wake_all(wakers)

    async def renew(self) -> bool:
        """See `Broker.renew`."""
        lease = self._held_lease()
        with self.memory.lock:
            self._prolong(lease)
        lapsed, self._lapsed = self._lapsed, False
        return not lapsed

    async def recover(self, limit: int) -> list[Delivery]:
        """See `Broker.recover`."""
        lease, memory = self._held_lease(), self.memory
        taken: list[Delivery] = []
        with memory.lock:
            self._prolong_if_dead(lease)
            now = self._clock.monotonic()
            if now < self._quiet_until <= now + lease.seconds:
                return []
            token = memory.draw()
            for dead in [d for d in memory.leases.values() if not memory.is_alive(d, self._clock)]:
                held = memory.held_by(dead.number)
                for stored in held[: max(0, limit - len(taken))]:
                    stored.lease, stored.token = lease.number, token
                    taken.append(_delivery(stored, lost_by=dead.owner))
                if not memory.held_by(dead.number):
                    del memory.leases[dead.number]
        return taken

    async def close(self) -> None:
        """See `Broker.close`."""
        lease, self._lease = self._lease, None
        for woken in self._wakeups:
            woken.set()
        if lease is None:
            return
        memory = self.memory
        with memory.lock:
            self._give_back(memory.held_by(lease.number))
            memory.leases.pop(lease.number, None)
            wakers = memory.work_waiters()
        wake_all(wakers)

    # -- looking after queues -------------------------------------------------------------------------------------

    async def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        with self.memory.lock:
            return len(self.memory.ready.get(queue, ())) + len(self.memory.future.get(queue, ()))

    async def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        memory = self.memory
        with memory.lock:
            entries = [*memory.ready.pop(queue, ()), *memory.future.pop(queue, ())]
            for _, _, tag in entries:
                del memory.messages[tag]
        return len(entries)

    async def dead_letters(self, queue: str | None = None, *, limit: int = 100, offset: int = 0) -> list[DeadLetter]:
        """See `Broker.dead_letters`."""
        memory = self.memory
        with memory.lock:
            found = [
                (tag, buried)
                for tag, buried in sorted(memory.dead.items(), reverse=True)
                if queue is None or buried.stored.queue == queue
            ]
            return [_dead_letter(tag, buried) for tag, buried in found[offset : offset + limit]]

    async def requeue_dead_letters(self, tags: Sequence[int | str]) -> int:
        """See `Broker.requeue_dead_letters`."""
        memory = self.memory
        count = 0
        with memory.lock:
            for tag in tags:
                buried = memory.dead.pop(tag, None) if isinstance(tag, int) else None
                if buried is not None:
                    stored = buried.stored
                    stored.tag = stored.position = memory.draw()
                    stored.history = ()
                    memory.messages[stored.tag] = stored
                    memory.place(stored, None, self._clock.time())
                    count += 1
            wakers = memory.work_waiters()
        wake_all(wakers)
        return count

    async def purge_dead_letters(self, queue: str | None = None) -> int:
        """See `Broker.purge_dead_letters`."""
        memory = self.memory
        with memory.lock:
            tags = [tag for tag, b in memory.dead.items() if queue is None or b.stored.queue == queue]
            for tag in tags:
                del memory.dead[tag]
        return len(tags)

    # -- results --------------------------------------------------------------------------------------------------

    def stores_results_of(self, backend: Backend) -> bool:
        """See `Broker.stores_results_of`: a backend on the same store."""
        return isinstance(backend, MemoryBackend) and backend.address == self.address

    def disconnect(self) -> None:
        """See `Broker.disconnect`; there is nothing to close."""

    # -- inside, with the lock held -------------------------------------------------------------------------------

    def _held_lease(self) -> HeldLease:
        if self._lease is None:
            raise OperationalError("this broker is not open; await open(owner, lease_seconds=...) first")
        return self._lease

    def _held(self, lease: HeldLease, delivery: Delivery) -> Stored | None:
        """The fence: the stored message if this lease holds it by this token."""
        stored = self.memory.messages.get(delivery.tag) if isinstance(delivery.tag, int) else None
        if stored is None or stored.lease != lease.number or stored.token != delivery.token:
            return None
        return stored

    def _take(self, lease: HeldLease, queues: Sequence[str], limit: int) -> list[Delivery]:
        memory = self.memory
        turn = self._turn % len(queues) if queues else 0
        order = [*queues[turn:], *queues[:turn]]
        taken: list[Delivery] = []
        with memory.lock:
            for queue in order:
                memory.promote(queue, self._clock.time())
            token = memory.draw()
            while len(taken) < limit:
                heaps = [heap for queue in order if (heap := memory.ready.get(queue))]
                if not heaps:
                    break
                heap = min(heaps, key=lambda heap: heap[0][0])  # the first of those with the lowest level
                stored = memory.messages[heapq.heappop(heap)[2]]
                stored.lease, stored.token, stored.started = lease.number, token, False
                taken.append(_delivery(stored))
            if taken:
                self._turn += 1
                self._prolong_if_dead(lease)
        return taken

    def _write(self, lease: HeldLease, settlement: Settlement) -> bool:
        delivery, action, memory = settlement.delivery, settlement.action, self.memory
        if not settlement.fenced:
            if isinstance(action, Bury):
                ((stored, _),) = memory.prepare([Publication(delivery.message, delivery.queue, delivery.priority)])
                stored.history = delivery.history
                self._bury(stored, action)
            return True
        held = self._held(lease, delivery)
        if held is None:
            return False
        match action:
            case Keep():
                pass
            case Acknowledge():
                del memory.messages[held.tag]
            case Requeue():
                if action.message is not None:
                    held.packed = PackedMessage.pack(action.message)
                held.history = _with(held.history, action.loss)
                if action.loss is None:
                    held.position = memory.draw()
                memory.place(held, action.not_before, self._clock.time())
            case Bury():
                del memory.messages[held.tag]
                self._bury(held, action)
        return True

    def _bury(self, stored: Stored, action: Bury) -> None:
        stored.history = _with(stored.history, action.loss)
        self.memory.dead[self.memory.draw()] = Buried(stored, action.reason, self._clock.time())

    def _give_back(self, held: Iterable[Stored | None]) -> None:
        for stored in held:
            if stored is not None:
                self.memory.place(stored, None, self._clock.time())

    def _prolong(self, lease: HeldLease) -> None:
        now = self._clock.monotonic()
        if not self._is_alive(lease):
            self._refuse_second_owner(lease.owner, lease.number)
            self._lapsed = True
        if not self._is_alive(lease) or lease.ends - now < lease.seconds / 2:
            self._quiet_until = now + lease.seconds
        lease.ends = now + lease.seconds
        self.memory.leases[lease.number] = lease

    def _prolong_if_dead(self, lease: HeldLease) -> None:
        if not self._is_alive(lease):
            self._prolong(lease)

    def _is_alive(self, lease: HeldLease) -> bool:
        return lease.number in self.memory.leases and self.memory.is_alive(lease, self._clock)

    def _refuse_second_owner(self, owner: str, number: int) -> None:
        for lease in self.memory.leases.values():
            if lease.owner == owner and lease.number != number and self.memory.is_alive(lease, self._clock):
                raise OperationalError(
                    f"another worker named {owner!r} holds a lease; give this one another name, "
                    f"or wait {lease.ends - self._clock.monotonic():.0f} s if that one was killed"
                )


def _delivery(stored: Stored, lost_by: str | None = None) -> Delivery:
    return Delivery(
        stored.tag,
        stored.token,
        stored.packed,
        stored.queue,
        stored.priority,
        stored.history,
        stored.started,
        lost_by,
    )


def _dead_letter(tag: int, buried: Buried) -> DeadLetter:
    stored = buried.stored
    return DeadLetter(
        tag, stored.packed.unpack(), stored.queue, buried.reason, buried.at, stored.history, stored.priority
    )


def _with(history: tuple[Loss, ...], loss: Loss | None) -> tuple[Loss, ...]:
    return history if loss is None else (*history, loss)
