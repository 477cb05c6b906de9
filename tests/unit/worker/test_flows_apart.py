"""Workflows where messages and results have stores of their own: bodies are sent once, members count once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from celeriac import Celeriac, Task, chord
from celeriac.attempt import Attempt, Job
from celeriac.brokers.batches import PartlySettled
from celeriac.brokers.memory import MemoryBroker
from celeriac.chords import ClaimedChord
from celeriac.exceptions import OperationalError
from celeriac.joins import join_message
from celeriac.message import Delivery, PackedMessage
from celeriac.outcome import AckPolicy, Lost, Settlement, decide
from celeriac.testing import VirtualClock
from celeriac.worker import flows
from celeriac.worker.outages import Trouble
from celeriac.worker.settler import Settler
from hand_worker import SITE

#: Seconds after which a test that waits has failed.
DEADLINE: Final = 10.0
#: Seconds for which a chord is claimed.
CLAIM_SECONDS: Final = 10.0
#: Seconds after which others take over what a worker holds.
LEASE_SECONDS: Final = 60.0
_NAMES = itertools.count()


class Faulty(MemoryBroker):
    """A broker that is away, or whose queues are full, when it is told so."""

    def __init__(self, name: str, clock: VirtualClock) -> None:
        super().__init__(name, clock=clock)
        self.name = name
        self.away_for_messages = 0
        self.full: set[int | str] = set()

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        if self.away_for_messages and any(one.follow_ups for one in settlements):
            self.away_for_messages -= 1
            raise OperationalError("away")
        left = [one for one in settlements if one.delivery.tag in self.full]
        refused = await super().settle([one for one in settlements if one not in left])
        if left:
            raise PartlySettled("full", left, refused)
        return refused


class Bench:
    """A settler, and a worker's steps by hand."""

    def __init__(self, app: Celeriac, broker: Faulty) -> None:
        self.app = app
        self.broker = broker
        self.settler = Settler(app, broker, app.backend, Trouble())

    async def reserve(self) -> list[Delivery]:
        return await self.broker.reserve(["celery"], 100, 0.0)

    async def attempt(self, delivery: Delivery) -> Settlement:
        job = Job(1, delivery.message, delivery.queue)
        outcome = await asyncio.to_thread(Attempt(self.app, job, SITE).run)
        return decide(delivery, outcome, self.app.clock.time())

    async def run_all(self) -> None:
        """Run all that is there, and what comes of it, but no joins."""
        while deliveries := await self.reserve():
            settlements = [await self.attempt(delivery) for delivery in deliveries]
            assert await self.settler.settle_now(settlements) == []

    async def dies_with(self, settlement: Settlement, *, sends: bool) -> None:
        """The worker dies when the chord knows of this settlement and its message is still there."""
        await flows.begin(self.app, [settlement])
        if sends:
            await self.broker.apublish(settlement.follow_ups)
        await self.broker.release([settlement.delivery])

    async def claim(self) -> list[ClaimedChord]:
        return await self.app.chord_store.claim_chords(["celery"], 100, CLAIM_SECONDS)

    async def join(self, chord: ClaimedChord) -> Settlement:
        """Make its body. What comes of it is still to be settled."""
        message = join_message(self.app, chord, None)
        outcome = await asyncio.to_thread(Attempt(self.app, Job(1, message, "celery"), SITE).run)
        delivery = Delivery(f"{chord.group_id}:{chord.claim}", 0, PackedMessage.pack(message), chord.queue)
        return decide(delivery, outcome, self.app.clock.time(), AckPolicy(acks_late=False))


@asynccontextmanager
async def _bench(folder: Path, clock: VirtualClock) -> AsyncIterator[Bench]:
    name = f"apart-{next(_NAMES)}"
    broker = Faulty(name, clock)
    with Celeriac(
        "apart", broker=f"memory://{name}", backend=f"sqlite:///{folder / 'results.sqlite3'}", clock=clock
    ) as app:
        assert not app.joins_chords_at_broker
        await broker.open("w", lease_seconds=LEASE_SECONDS)
        made = Bench(app, broker)
        made.settler.start()
        try:
            yield made
        finally:
            await made.settler.stop()
            await broker.close()
            broker.disconnect()


@pytest.fixture
def on_bench(tmp_path: Path, clock: VirtualClock) -> Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]:
    def run(body: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
        async def within() -> None:
            async with asyncio.timeout(DEADLINE), _bench(tmp_path, clock) as bench:
                await body(bench)

        asyncio.run(within())

    return run


OnBench = Callable[[Callable[[Bench], Coroutine[Any, Any, None]]], None]


class Tasks:
    """Tasks that note what bodies were given."""

    def __init__(self, app: Celeriac) -> None:
        self.bodies: list[list[int]] = []
        #: What `adds` adds in its first run, its second, ...
        self.added: list[list[int]] = [[100]]
        self.run = 0
        self.fails_in: int | None = None
        self.replaces = False

        @app.task(name="same")
        def same(number: int) -> int:
            return number

        @app.task(name="adds", bind=True)
        def adds(task: Task[Any, Any], number: int) -> int:
            self.run += 1
            for added in self.added[min(self.run, len(self.added)) - 1]:
                task.add_to_chord(same.s(added))
            if self.replaces:
                raise task.replace(same.s(number))
            if self.run == self.fails_in:
                raise ValueError(number)
            return number

        @app.task(name="gather")
        def gather(values: list[int]) -> list[int]:
            self.bodies.append(values)
            return values

        self.same, self.adds, self.gather = same, adds, gather


def test_a_body_made_under_an_old_claim_is_not_sent_after_the_chord_has_ended(
    on_bench: OnBench, clock: VirtualClock
) -> None:
    async def body(bench: Bench) -> None:
        tasks = Tasks(bench.app)
        chord([tasks.same.s(1), tasks.same.s(2)], tasks.gather.s()).apply_async()
        await bench.run_all()
        (old,) = await bench.claim()
        clock.advance(CLAIM_SECONDS + 1)
        (new,) = await bench.claim()
        await bench.settler.settle_now([await bench.join(new)])
        await bench.settler.settle_now([await bench.join(old)])
        await bench.run_all()
        assert tasks.bodies == [[1, 2]]

    on_bench(body)


@pytest.mark.parametrize("comes_first", ["the old claim", "the new claim"])
def test_two_that_have_made_a_body_send_it_once(on_bench: OnBench, clock: VirtualClock, comes_first: str) -> None:
    """The broker was away for longer than a claim lasts: both have waited to send it."""

    async def body(bench: Bench) -> None:
        tasks = Tasks(bench.app)
        chord([tasks.same.s(1), tasks.same.s(2)], tasks.gather.s()).apply_async()
        await bench.run_all()
        made: list[Settlement] = []
        for _ in range(2):
            (claimed,) = await bench.claim()
            made.append(await bench.join(claimed))
            clock.advance(CLAIM_SECONDS + 1)
        old, new = made
        if comes_first == "the old claim":
            assert await bench.settler.settle_now([old]) == [old]
            assert await bench.settler.settle_now([new]) == []
        else:
            assert await bench.settler.settle_now([new, old]) == [old]
        await bench.run_all()
        assert tasks.bodies == [[1, 2]]

    on_bench(body)


def test_a_claim_lasts_while_its_body_is_sent(on_bench: OnBench, clock: VirtualClock) -> None:
    async def body(bench: Bench) -> None:
        tasks = Tasks(bench.app)
        chord([tasks.same.s(1), tasks.same.s(2)], tasks.gather.s()).apply_async()
        await bench.run_all()
        (claimed,) = await bench.claim()
        made = await bench.join(claimed)
        clock.advance(CLAIM_SECONDS + 1)
        bench.broker.away_for_messages = 1
        bench.settler.put(made)
        while bench.broker.away_for_messages:
            await asyncio.sleep(0)
        assert await bench.claim() == []
        assert await bench.settler.drain(DEADLINE)
        await bench.run_all()
        assert tasks.bodies == [[1, 2]]

    on_bench(body)


def test_a_member_that_is_added_while_the_broker_is_away_counts_once(on_bench: OnBench) -> None:
    async def body(bench: Bench) -> None:
        tasks = Tasks(bench.app)
        result = chord([tasks.adds.s(1), tasks.same.s(2)], tasks.gather.s()).apply_async()
        bench.broker.away_for_messages = 2
        await bench.run_all()
        assert not bench.broker.away_for_messages
        (claimed,) = await bench.claim()
        state = await bench.app.chord_store.achord_state(claimed.group_id)
        assert len(state.parts) == 3
        await bench.settler.settle_now([await bench.join(claimed)])
        await bench.run_all()
        assert [sorted(values) for values in tasks.bodies] == [[1, 2, 100]]
        assert result.state == "SUCCESS"

    on_bench(body)


class Growing(NamedTuple):
    """A member adds others in a run that is lost when the chord knows of it, then runs again.

    Attributes:
        added: by the first run, and by the second.
        values: what the body gets.
        sent: what the first run adds has been sent.
        replaces: the member is replaced by another task that gives its value.
        fails: the second run fails.
    """

    added: list[list[int]]
    values: list[int]
    sent: bool = False
    replaces: bool = False
    fails: bool = False


@pytest.mark.parametrize(
    "case",
    [
        Growing([[100]], [1, 2, 100]),
        Growing([[100]], [1, 2, 100], sent=True),
        Growing([[7, 7, 8]], [1, 2, 7, 7, 8]),
        Growing([[7, 7, 8], [8, 7, 7]], [1, 2, 7, 7, 8], sent=True),
        Growing([[100], []], [1, 2]),
        Growing([[100], []], [1, 2], sent=True),
        Growing([[], [100]], [1, 2, 100]),
        Growing([[7], [8, 9]], [1, 2, 8, 9]),
        Growing([[100], []], [1, 2], fails=True),
        Growing([[100]], [1, 2, 100], replaces=True),
        Growing([[100], []], [1, 2], replaces=True),
        Growing([[100], []], [1, 2], sent=True, replaces=True),
    ],
    ids=str,
)
def test_a_member_that_runs_again_has_added_what_it_adds_then(on_bench: OnBench, case: Growing) -> None:
    async def body(bench: Bench) -> None:
        tasks = Tasks(bench.app)
        tasks.added, tasks.replaces, tasks.fails_in = case.added, case.replaces, 2 if case.fails else None
        result = chord([tasks.adds.s(1), tasks.same.s(2)], tasks.gather.s()).apply_async()
        first, second = await bench.reserve()
        await bench.dies_with(await bench.attempt(first), sends=case.sent)
        assert await bench.settler.settle_now([await bench.attempt(second)]) == []
        waiting = await bench.reserve()
        (again,) = [one for one in waiting if one.head.task == "adds"]
        assert await bench.settler.settle_now([await bench.attempt(again)]) == []
        assert tasks.run == 2
        await bench.broker.release([one for one in waiting if one is not again])
        await bench.run_all()
        (claimed,) = await bench.claim()
        await bench.settler.settle_now([await bench.join(claimed)])
        await bench.run_all()
        assert [sorted(values) for values in tasks.bodies] == [sorted(case.values)]
        assert result.state == "SUCCESS"

    on_bench(body)


@asynccontextmanager
async def _heir(bench: Bench, clock: VirtualClock) -> AsyncIterator[Bench]:
    """Another worker, which has taken over what this one holds: it was cut off for longer than its lease."""
    clock.advance(LEASE_SECONDS + 1)
    broker = Faulty(bench.broker.name, clock)
    await broker.open("heir", lease_seconds=LEASE_SECONDS)
    heir = Bench(bench.app, broker)
    try:
        for one in await broker.recover(100):
            lost = decide(one, Lost("cut off", str(one.lost_by)), clock.time())
            assert await heir.settler.settle_now([lost]) == []
        yield heir
    finally:
        await broker.close()
        broker.disconnect()


@pytest.mark.parametrize("added", [[[100], [200]], [[100], []], [[], [200]], [[7, 8], [8]]], ids=str)
@pytest.mark.parametrize("sent", [False, True], ids=["not sent", "sent"])
def test_a_run_that_was_taken_over_changes_nothing_when_it_is_told_last(
    on_bench: OnBench, clock: VirtualClock, added: list[list[int]], sent: bool
) -> None:
    """Its settlement is refused, which is known only when its chord has been told."""

    async def body(bench: Bench) -> None:
        tasks = Tasks(bench.app)
        tasks.added = added
        result = chord([tasks.same.s(1), tasks.adds.s(2)], tasks.gather.s()).apply_async()
        done, late = [await bench.attempt(delivery) for delivery in await bench.reserve()]
        assert await bench.settler.settle_now([done]) == []
        async with _heir(bench, clock) as heir:
            (again,) = await heir.reserve()
            assert await heir.settler.settle_now([await heir.attempt(again)]) == []
            assert tasks.run == 2
            assert [one.delivery for one in await bench.settler.settle_now([late])] == [late.delivery]
            if sent:  # RabbitMQ takes messages before it refuses an acknowledgement
                await heir.broker.apublish(late.follow_ups)
            await heir.run_all()
            (claimed,) = await heir.claim()
            assert await heir.settler.settle_now([await heir.join(claimed)]) == []
            await heir.run_all()
        assert [sorted(values) for values in tasks.bodies] == [[1, 2, *added[1]]]
        assert result.state == "SUCCESS"

    on_bench(body)


def test_a_task_that_is_in_a_header_twice_adds_members_for_each_of_its_runs(on_bench: OnBench) -> None:
    async def body(bench: Bench) -> None:
        tasks = Tasks(bench.app)
        tasks.added = [[100], []]
        twice = tasks.adds.s(1).set(task_id="twice")
        chord([twice, twice], tasks.gather.s()).apply_async()
        await bench.run_all()
        assert tasks.run == 2
        (claimed,) = await bench.claim()
        await bench.settler.settle_now([await bench.join(claimed)])
        await bench.run_all()
        assert [sorted(values) for values in tasks.bodies] == [[1, 1, 100]]

    on_bench(body)


def test_a_chord_ends_though_something_else_of_its_batch_must_wait(on_bench: OnBench, clock: VirtualClock) -> None:
    async def body(bench: Bench) -> None:
        tasks = Tasks(bench.app)
        chord([tasks.same.s(1), tasks.same.s(2)], tasks.gather.s()).apply_async()
        await bench.run_all()
        (claimed,) = await bench.claim()
        join = await bench.join(claimed)
        tasks.same.apply_async((5,), link=tasks.same.s())
        (delivery,) = await bench.reserve()
        bench.broker.full = {delivery.tag}
        bench.settler.put_all([join, await bench.attempt(delivery)])
        while not (waiting := await bench.reserve()):
            await asyncio.sleep(0)
        clock.advance(CLAIM_SECONDS + 1)
        assert await bench.claim() == []
        bench.broker.full.clear()
        assert await bench.settler.drain(DEADLINE)
        await bench.settler.settle_now([await bench.attempt(one) for one in waiting])
        await bench.run_all()
        assert tasks.bodies == [[1, 2]]

    on_bench(body)
