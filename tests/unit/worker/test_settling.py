"""What the settler and the intake do when the broker is away, or refuses something for good."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import pytest

from celeriac import Celeriac
from celeriac.brokers.batches import PartlySettled
from celeriac.brokers.memory import MemoryBroker
from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.message import Delivery, Loss, Message, Publication
from celeriac.outcome import Acknowledge, Settlement
from celeriac.worker.admission import Admission
from celeriac.worker.dispatcher import Dispatcher
from celeriac.worker.executors.executor import Assignment
from celeriac.worker.intake import Intake
from celeriac.worker.options import WorkerOptions
from celeriac.worker.outages import Trouble
from celeriac.worker.settler import Settler

#: Seconds after which a test that waits has failed.
DEADLINE: Final = 10.0
_NAMES = itertools.count()
HELD_UP, GOES_ON = "Work is held up", "Work goes on"


class Faulty(MemoryBroker):
    """Fails as often as it is told to, with the error that it is told."""

    def __init__(self) -> None:
        super().__init__(f"settling-{next(_NAMES)}")
        self.failures: list[Exception] = []
        self.refused: set[str] = set()

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        self._fail()
        return await super().settle(settlements)

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        self._fail()
        if any(delivery.head.id in self.refused for delivery in deliveries):
            raise StoreRefused("not this one")
        return await super().mark_started(deliveries)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        self._fail()
        await super().release(deliveries)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop()


class Bench:
    """A settler on a broker that holds two deliveries."""

    def __init__(self, settler: Settler, broker: Faulty, deliveries: list[Delivery]) -> None:
        self.settler = settler
        self.broker = broker
        self.deliveries = deliveries


@pytest.fixture
def app() -> Iterator[Celeriac]:
    with Celeriac("settling", broker="memory://settling-app") as made:
        yield made


@asynccontextmanager
async def _bench(app: Celeriac, broker: Faulty) -> AsyncIterator[Bench]:
    broker.publish([Publication(Message({"task": "t", "id": name}, {}, b"[[],{},{}]"), "q") for name in "ab"])
    await broker.open("w", lease_seconds=60.0)
    settler = Settler(app, broker, app.backend, Trouble())
    settler.start()
    try:
        yield Bench(settler, broker, await broker.reserve(["q"], 2, 0.0))
    finally:
        await settler.stop()
        await broker.close()
        broker.disconnect()


def on_bench(app: Celeriac, body: Callable[[Bench], Coroutine[Any, Any, None]], broker: Faulty | None = None) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE), _bench(app, broker or Faulty()) as bench:
            await body(bench)

    asyncio.run(run())


async def _settle(bench: Bench) -> None:
    await bench.settler.settle_now([Settlement(one, Acknowledge()) for one in bench.deliveries])


async def _mark(bench: Bench) -> None:
    await bench.settler.mark_started(bench.deliveries)


async def _release(bench: Bench) -> None:
    bench.settler.release(bench.deliveries)
    assert await bench.settler.drain(DEADLINE)


@pytest.mark.parametrize("write", [_settle, _mark, _release])
def test_whatever_is_written_after_an_outage_ends_it(
    app: Celeriac, caplog: pytest.LogCaptureFixture, write: Callable[[Bench], Coroutine[Any, Any, None]]
) -> None:
    caplog.set_level(logging.WARNING, "celeriac.worker")

    async def body(bench: Bench) -> None:
        for _ in range(2):  # were the first outage not over, the second would not be told
            bench.broker.failures = [OperationalError("away")]
            await write(bench)

    on_bench(app, body)
    told = [record.getMessage().partition(",")[0] for record in caplog.records]
    assert told == [HELD_UP, GOES_ON] * 2


@pytest.mark.parametrize("write", [_mark, _release])
def test_the_next_outage_begins_with_short_pauses(
    app: Celeriac, write: Callable[[Bench], Coroutine[Any, Any, None]]
) -> None:
    async def body(bench: Bench) -> None:
        began = time.monotonic()
        for _ in range(5):
            bench.broker.failures = [OperationalError("away"), OperationalError("away")]
            await write(bench)
        assert time.monotonic() - began < 5.0  # 0.75 s and what the machine needs; doubled on and on they take 7.6 s

    on_bench(app, body)


class Full(Faulty):
    """Takes nothing that is sent on by what is `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.full: set[int | str] = set()
        self.tries = 0

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        self.tries += 1
        left = [one for one in settlements if one.delivery.tag in self.full]
        refused = await super().settle([one for one in settlements if one not in left])
        if left:
            raise PartlySettled("full", left, refused)
        return refused


def test_what_can_not_be_written_for_now_holds_up_nothing_else(app: Celeriac) -> None:
    async def body(bench: Bench) -> None:
        broker = bench.broker
        assert isinstance(broker, Full)
        first, second = bench.deliveries
        broker.full = {first.tag}
        bench.settler.put_all([Settlement(first, Acknowledge()), Settlement(second, Acknowledge())])
        while broker.tries < 3:  # the first is tried again
            await asyncio.sleep(0)
        assert not bench.settler.idle
        broker.publish([Publication(Message({"task": "t", "id": "c"}, {}, b"[[],{},{}]"), "q")])
        [third] = await broker.reserve(["q"], 1, DEADLINE)
        assert await bench.settler.settle_now([Settlement(third, Acknowledge())]) == []
        broker.full.clear()
        assert await bench.settler.drain(DEADLINE)
        assert await broker.settle([Settlement(one, Acknowledge()) for one in bench.deliveries]) != []  # they were

    on_bench(app, body, Full())


class Unready(Settler):
    """Has a fault of its own."""

    async def settle_now(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        raise RuntimeError("a fault")


class Running(Dispatcher):
    """Remembers what is to run."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def submit(self, assignments: Iterable[Assignment]) -> None:
        self.names += [str(assignment.delivery.head.id) for assignment in assignments]


def admission_of(app: Celeriac) -> Admission:
    return Admission(app, WorkerOptions(hostname="w@host", queues=("q",), pool="threads", concurrency=1), "thread")


def lost_before(delivery: Delivery) -> Delivery:
    return msgspec.structs.replace(delivery, history=(Loss(1.0, "w", "killed"),))


def test_one_that_can_not_be_marked_does_not_stop_the_others(app: Celeriac) -> None:
    running = Running()

    async def body(bench: Bench) -> None:
        bench.broker.refused = {"a"}
        intake = Intake(app.clock, admission_of(app), bench.settler, running)
        await intake.take([lost_before(delivery) for delivery in bench.deliveries])
        assert running.names == ["b"]
        assert await bench.settler.drain(DEADLINE)
        (letter,) = await bench.broker.dead_letters()
        assert letter.message.headers["id"] == "a"
        assert "it can not be marked as started: StoreRefused('not this one')" in letter.reason

    on_bench(app, body)


def test_what_can_not_be_taken_in_is_given_back(app: Celeriac) -> None:
    @app.task(name="t", acks_late=False)
    def early() -> None:
        """Acknowledged first, where the fault is."""

    running = Running()

    async def body(bench: Bench) -> None:
        settler = Unready(app, bench.broker, app.backend, Trouble())
        settler.start()
        with pytest.raises(RuntimeError, match="a fault"):
            await Intake(app.clock, admission_of(app), settler, running).take(bench.deliveries)
        assert await settler.drain(DEADLINE)
        await settler.stop()
        assert running.names == []
        again = await bench.broker.reserve(["q"], 2, 0.0)
        assert {delivery.head.id for delivery in again} == {"a", "b"}

    on_bench(app, body)
