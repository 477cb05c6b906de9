"""What the dispatcher does with a job that can not be told to an executor; the test is the executor."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import pytest

from celeriac.message import Delivery, Message, PackedMessage
from celeriac.outcome import DEFAULT_ACK_POLICY, Outcome
from celeriac.worker.dispatcher import Dispatcher
from celeriac.worker.executors.executor import Assignment, Executor
from celeriac.worker.executors.launcher import InlineLauncher
from celeriac.worker.executors.pool import Pool
from celeriac.worker.ipc import TO_EXECUTOR, BlockingChannel, ExecutorSetup, PackedJob, Ready, Run, ToExecutor

#: Seconds after which a test that waits has failed.
DEADLINE: Final = 10.0
#: No frame takes a number of more than 64 bits.
TOO_LARGE: Final = 2**70


class Outcomes:
    """Remembers what can not be told."""

    def __init__(self) -> None:
        self.untold: list[tuple[int, Exception]] = []

    def on_started(self, executor: Executor, assignment: Assignment) -> None:
        """Of no interest here."""

    def on_finished(self, ended: Sequence[tuple[Assignment, Outcome]]) -> None:
        """Of no interest here."""

    def on_lost(self, assignment: Assignment, reason: str) -> None:
        """Of no interest here."""

    def on_unwanted(self, assignments: Sequence[Assignment]) -> None:
        """Of no interest here."""

    def on_untold(self, assignment: Assignment, error: Exception) -> None:
        self.untold.append((assignment.job.tag, error))


class Site:
    """A dispatcher with one ready executor of some slots, and that executor's end of the socket."""

    def __init__(self, dispatcher: Dispatcher, outcomes: Outcomes, channel: BlockingChannel[ToExecutor]) -> None:
        self.dispatcher = dispatcher
        self.outcomes = outcomes
        self.executor = dispatcher.pools["thread"].executors[0]
        self._channel = channel

    async def told(self) -> list[int]:
        """The tags in the next frames that tell of jobs."""
        frames = await asyncio.wait_for(asyncio.to_thread(self._channel.receive), DEADLINE)
        assert frames is not None
        return [job.tag for frame in frames if isinstance(frame, Run) for job in frame.jobs]


def with_executor(slots: int, body: Callable[[Site], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        ends: list[socket.socket] = []
        outcomes = Outcomes()

        def hand_over(end: socket.socket, _setup: ExecutorSetup) -> None:
            ends.append(end)

        launcher = InlineLauncher(hand_over)
        dispatcher = Dispatcher({}, launcher, outcomes)
        make = partial(Pool, "thread", size=1, slots=slots, launcher=launcher, events=dispatcher)
        pool = dispatcher.pools["thread"] = make(now=time.monotonic, ready_seconds=DEADLINE)
        pool.start()
        async with asyncio.timeout(DEADLINE):
            while not pool.executors:
                await asyncio.sleep(0)
            channel = BlockingChannel(ends[0], TO_EXECUTOR)
            assert channel.send(Ready(1))
            await dispatcher.wanted.wait()
            try:
                await body(Site(dispatcher, outcomes, channel))
            finally:
                dispatcher.stop()
                channel.close()
                await dispatcher.wait_ended(DEADLINE)

    asyncio.run(run())


def assignment(tag: int, *, priority: int = 0, alone: bool = False) -> Assignment:
    packed = PackedMessage.pack(Message({"task": "t", "id": str(tag)}, {}, b""))
    job = PackedJob(tag, packed, "celery", priority=priority)
    return Assignment(Delivery(tag, 1, packed, "celery"), "thread", DEFAULT_ACK_POLICY, job, alone=alone)


def test_the_others_of_a_batch_run() -> None:
    async def body(site: Site) -> None:
        site.dispatcher.submit([assignment(1), assignment(2, priority=TOO_LARGE), assignment(3)])
        assert await site.told() == [1, 3]
        ((tag, error),) = site.outcomes.untold
        assert (tag, type(error)) == (2, OverflowError)
        assert list(site.executor.assigned) == [1, 3]
        assert site.dispatcher.in_flight == 2
        assert site.dispatcher.demand() == 2

    with_executor(4, body)


@pytest.mark.parametrize("alone", [False, True])
def test_its_slot_goes_to_the_next_at_once(alone: bool) -> None:
    async def body(site: Site) -> None:
        bad = [assignment(tag, priority=TOO_LARGE, alone=alone) for tag in (1, 2)]
        site.dispatcher.submit([*bad, assignment(3)])
        assert await site.told() == [3]
        assert [tag for tag, _ in site.outcomes.untold] == [1, 2]
        assert site.dispatcher.in_flight == 1

    with_executor(1, body)


def test_with_nothing_left_more_is_wanted() -> None:
    async def body(site: Site) -> None:
        site.dispatcher.submit([assignment(1, priority=TOO_LARGE)])
        assert site.dispatcher.in_flight == 0
        assert site.dispatcher.demand() == 1

    with_executor(1, body)


def test_a_place_that_is_kept_is_not_filled_from_the_queue() -> None:
    async def body(site: Site) -> None:
        dispatcher = site.dispatcher
        assert (dispatcher.demand(), dispatcher.has_room) == (1, True)
        dispatcher.keep_room(True)
        assert (dispatcher.demand(), dispatcher.has_room) == (0, True)
        dispatcher.submit([assignment(1)])  # from elsewhere
        assert await site.told() == [1]
        assert not dispatcher.has_room
        dispatcher.wanted.clear()
        dispatcher.keep_room(False)
        assert dispatcher.wanted.is_set()  # whoever asks for demand sees that there may be more

    with_executor(1, body)
