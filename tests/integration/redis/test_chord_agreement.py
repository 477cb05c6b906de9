"""Whatever happens to chords, Redis gives the answers of the memory store, which says what chords do.

Left out is what Redis does as Celery does it: a chord that has ended may begin again, a second start may name another
size; a chord that grows when it is complete tells of the member that completed it first.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from celeriac.brokers.base import Broker
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.redis import RedisBroker
from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord
from celeriac.clock import Clock
from celeriac.config import Settings
from celeriac.message import Delivery, PackedMessage
from celeriac.outcome import Flow, Keep, Settlement
from celeriac.storage.redis.reading import read_location
from conformance.redis_time import ServerClock
from servers.redis import RedisServer

from .chord_support import DAY, own_keys, part_of, store_of

#: By chord: how many members its header has.
SIZES = {"g": 1, "h": 2, "i": 3}
QUEUES = ["q", "r"]
#: Who adds members.
CAUSES = ["one", "two"]
CLAIM_SECONDS = 10.0
NOWHERE = Delivery(0, 0, PackedMessage(b"[{},{}]", b"", "", ""), "q")

_numbers = itertools.count()


class Change(msgspec.Struct, frozen=True):
    """What is settled, or told one by one; `ends` are numbers of claims that were given, the latest first."""

    starts: tuple[str, ...] = ()
    shares: tuple[tuple[str, int, str], ...] = ()
    grown: tuple[ChordGrowth, ...] = ()
    added: tuple[tuple[str, str, str], ...] = ()
    ends: tuple[int, ...] = ()
    settled: bool = True


class Claim(msgspec.Struct, frozen=True):
    """A worker of these queues asks what is complete."""

    queues: tuple[str, ...]


class Wait(msgspec.Struct, frozen=True):
    """Time passes."""

    seconds: float


class Break(msgspec.Struct, frozen=True):
    """A chord is ended by hand."""

    group_id: str
    queue: str


Step: TypeAlias = Change | Claim | Wait | Break

groups = st.sampled_from(sorted(SIZES))
added_members = st.sampled_from("xyz")
growths = st.builds(
    ChordGrowth,
    groups,
    st.sampled_from(CAUSES),
    st.lists(added_members, max_size=3).map(tuple[str, ...]),
    losses=st.sampled_from([0, 0, 1, 2]),
)
given_shares = st.tuples(groups, st.integers(0, 2), st.sampled_from(QUEUES))
changes = st.builds(
    Change,
    st.lists(groups, max_size=1).map(tuple),
    st.lists(given_shares, max_size=4).map(tuple),
    st.lists(growths, max_size=2).map(tuple),
    st.lists(st.tuples(groups, added_members, st.sampled_from(QUEUES)), max_size=2).map(tuple),
    st.lists(st.integers(0, 2), max_size=2, unique=True).map(tuple),
    st.booleans(),
)
claims = st.builds(Claim, st.sampled_from([("q", "r"), ("q",), ("r",)]))
waits = st.builds(Wait, st.sampled_from([4.0, 30.0]))
breaks = st.builds(Break, groups, st.sampled_from(QUEUES))
STEPS: dict[str, st.SearchStrategy[Step]] = {"change": changes, "claim": claims, "wait": waits, "break": breaks}
steps = st.sampled_from(["change"] * 5 + ["claim"] * 3 + ["wait", "break"]).flatmap(lambda kind: STEPS[kind])


class Side:
    """One store, and the claims that it has given."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.chords = store_of(broker)
        self.claimed: list[ClaimedChord] = []
        self.ended: set[str] = set()
        self.added: set[tuple[str, str]] = set()

    async def take(self, step: Change | Claim | Break) -> object:
        """Take the step; what it answers, in words that do not depend on the store."""
        if isinstance(step, Break):
            return await self.chords.abreak_chord(step.group_id, "why", step.queue)
        return await (self.claim(step.queues) if isinstance(step, Claim) else self.change(step))

    async def claim(self, queues: Sequence[str]) -> list[ClaimedChord]:
        """What can be had, in no order: each store has one of its own."""
        found = await self.chords.claim_chords(queues, 9, CLAIM_SECONDS)
        found.sort(key=lambda chord: chord.group_id)
        self.claimed += found
        return [msgspec.structs.replace(chord, claim="") for chord in found]

    async def change(self, step: Change) -> list[str]:
        """Write it; the chords whose claim was refused."""
        chosen = [self.claimed[-1 - n] for n in step.ends if n < len(self.claimed)]
        ends = tuple(ChordEnd(chord.group_id, chord.claim) for chord in chosen)
        # A chord that has ended does not begin again.
        starts = tuple(begun(name) for name in step.starts if name not in self.ended)
        shares = tuple(member(name, index % SIZES[name], queue) for name, index, queue in step.shares)
        grown = tuple(one for one in step.grown if not self.is_complete(one.group_id))
        known = self.added | {(one.group_id, name) for one in grown for name in one.members}
        # Nobody comes who was never added.
        shares += tuple(member(name, None, queue, added) for name, added, queue in step.added if (name, added) in known)
        if step.settled:
            flow = Flow((), starts, grown, shares, ends)
            refused = await self.broker.settle([Settlement(NOWHERE, Keep(), fenced=False, flow=flow)])
            if refused:
                return [end.group_id for end in ends]
            self.added = known
            self.ended |= {end.group_id for end in ends}
            return []
        await self.chords.astart_chords(starts)
        await self.chords.add_shares(shares, grown)
        self.added = known
        late = await self.chords.end_chords(ends)
        self.ended |= {end.group_id for end in ends if end not in late}
        return [end.group_id for end in late]

    def is_complete(self, group_id: str) -> bool:
        """All its members have given their share."""
        state = self.chords.chord_state(group_id)
        return state.size is not None and len(state.parts) >= state.size

    def states(self) -> list[ChordState]:
        """Of all chords, then of those that are open."""
        found = sorted(self.chords.open_chords(9), key=lambda chord: chord.group_id)
        known = [*(self.chords.chord_state(name) for name in SIZES), *found]
        return [msgspec.structs.replace(state, began=None) for state in known]  # of two clocks


def begun(group_id: str) -> ChordStart:
    return ChordStart(group_id, SIZES[group_id], DAY, b"body", None, "p")


def member(group_id: str, index: int | None, queue: str, name: str | None = None) -> ChordShare:
    task_id = f"{group_id}-{index}" if name is None else name
    return ChordShare(group_id, task_id, index, part_of(task_id, 1), b"body", None, queue, DAY)


async def follow(taken: Sequence[Step], server: RedisServer, clock: ServerClock) -> None:
    sides = [Side(MemoryBroker(f"agreeing-redis-{next(_numbers)}", clock=clock)), Side(redis_broker(server, clock))]
    try:
        for side in sides:
            await side.broker.open("worker", lease_seconds=1e6)
        for step in taken:
            if isinstance(step, Wait):
                clock.advance(step.seconds)
            else:
                assert await sides[0].take(step) == await sides[1].take(step), step
            assert sides[0].states() == sides[1].states(), step
        for side in sides:
            await finish(side, clock)
        assert own_keys(server) == server.call("KEYS", "celeriac:chords") == []
    finally:
        for side in sides:
            await side.broker.close()
            side.broker.disconnect()


async def finish(side: Side, clock: ServerClock) -> None:
    """All members come, others are withdrawn, and all bodies are sent: nothing is left over."""
    clock.advance(10 * CLAIM_SECONDS)
    for name, size in SIZES.items():
        if name not in side.ended:
            await side.chords.astart_chords([begun(name)])
            shares = [member(name, index, "q") for index in range(size)]
            await side.chords.add_shares(shares, [ChordGrowth(name, cause, losses=3) for cause in CAUSES])
    found = await side.chords.claim_chords(QUEUES, 9, CLAIM_SECONDS)
    assert {chord.group_id for chord in found} == SIZES.keys() - side.ended
    assert await side.chords.end_chords([ChordEnd(chord.group_id, chord.claim) for chord in found]) == []


def redis_broker(server: RedisServer, clock: Clock) -> RedisBroker:
    location = read_location(server.url(), {}, setting="broker_url", settings=Settings())
    return RedisBroker(location, clock=clock)


#: Without shrinking: that is thousands of runs over a server, and the steps can be read as they are.
_PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


@settings(phases=_PHASES, max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(taken=st.lists(steps, min_size=8, max_size=25))
def test_memory_and_redis_agree(redis_server: RedisServer, taken: list[Step]) -> None:
    redis_server.call("FLUSHALL")
    asyncio.run(follow(taken, redis_server, ServerClock(redis_server)))
