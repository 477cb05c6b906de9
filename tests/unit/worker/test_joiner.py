"""When a worker claims complete chords: only what it can run and write, and one claim after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import pytest

from celeriac import Celeriac, chord
from celeriac.exceptions import OperationalError
from celeriac.worker.admission import Admission
from celeriac.worker.executors.executor import Assignment
from celeriac.worker.joiner import Joiner
from celeriac.worker.options import WorkerOptions
from celeriac.worker.outages import Trouble
from hand_worker import HandWorker

#: Seconds after which a test that waits has failed.
DEADLINE: Final = 10.0


class Bench:
    """A joiner, and a worker around it that does what the test says."""

    def __init__(self, app: Celeriac, time_limit: float | None = None) -> None:
        self.room = True
        self.trouble = Trouble()
        self.submitted: list[Assignment] = []
        self._looks = 0
        self.kept = False
        options = WorkerOptions(
            hostname="w@host", queues=("celery",), pool="prefork", concurrency=1, time_limit=time_limit
        )
        admission = Admission(app, options, "process")
        self.joiner = Joiner(
            app, ["celery"], admission, self._submit, lambda: self.room, self._keep_room, 60.0, self.trouble
        )

    def _submit(self, assignments: Sequence[Assignment]) -> None:
        self.submitted += assignments

    def _keep_room(self, wanted: bool) -> None:
        self.kept = wanted
        self._looks += 1

    async def looks_again(self) -> None:
        """Return when it has looked around a few times more."""
        end = self._looks + 3
        await self._until(lambda: self._looks >= end)

    async def has_submitted(self, count: int) -> list[Assignment]:
        """Return what it has submitted, which is this many."""
        await self._until(lambda: len(self.submitted) >= count)
        assert len(self.submitted) == count
        return self.submitted

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0)


def on_bench(bench: Callable[[], Bench], body: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        made = bench()
        made.joiner.start()
        try:
            async with asyncio.timeout(DEADLINE):
                await body(made)
        finally:
            await made.joiner.stop()

    asyncio.run(run())


@pytest.fixture
def complete(app: Celeriac, worker: HandWorker) -> Callable[[int], None]:
    """Bring so many chords to where only their bodies are missing."""

    @app.task(name="member")
    def member() -> int:
        return 1

    @app.task(name="body")
    def body(values: list[int]) -> int:
        return sum(values)

    def send_and_run(count: int) -> None:
        for _ in range(count):
            chord([member.s()], body.s()).apply_async()
        worker.run()

    return send_and_run


def _claims(assignment: Assignment) -> str:
    """How many claims there were of this chord: its join's id says it."""
    return str(assignment.delivery.head.id).rpartition("-")[2]


def test_a_busy_worker_claims_nothing_and_keeps_the_next_place_free(
    app: Celeriac, complete: Callable[[int], None]
) -> None:
    complete(1)

    async def body(bench: Bench) -> None:
        bench.room = False
        bench.joiner.look()
        await bench.looks_again()
        assert bench.kept
        assert not bench.submitted
        bench.room = True
        (join,) = await bench.has_submitted(1)
        assert _claims(join) == "1"  # each claim counts, and nobody has claimed it in vain
        assert not bench.kept

    on_bench(lambda: Bench(app), body)


@pytest.mark.parametrize("part", ["settling", "taking tasks"])
def test_a_worker_that_can_not_write_claims_nothing(app: Celeriac, complete: Callable[[int], None], part: str) -> None:
    complete(1)

    async def body(bench: Bench) -> None:
        bench.trouble.begins(part, OperationalError("away"))
        bench.joiner.look()
        await bench.looks_again()
        assert not bench.submitted
        bench.trouble.ends(part)
        (join,) = await bench.has_submitted(1)
        assert _claims(join) == "1"

    on_bench(lambda: Bench(app), body)


@pytest.mark.parametrize("part", ["settling some", "giving back", "SweepResults"])
def test_other_troubles_are_not_its_own(app: Celeriac, complete: Callable[[int], None], part: str) -> None:
    complete(1)

    async def body(bench: Bench) -> None:
        bench.trouble.begins(part, OperationalError("a queue is full"))
        bench.joiner.look()
        await bench.has_submitted(1)

    on_bench(lambda: Bench(app), body)


def test_what_it_has_claimed_comes_first(app: Celeriac, complete: Callable[[int], None]) -> None:
    complete(120)

    async def body(bench: Bench) -> None:
        bench.joiner.look()
        some = list(await bench.has_submitted(100))
        for join in some[1:]:
            bench.joiner.ended(join)
        await bench.looks_again()
        assert len(bench.submitted) == 100
        assert not bench.kept  # no place is kept free for what is not claimed yet
        bench.joiner.ended(some[0])
        await bench.has_submitted(120)
        assert {_claims(join) for join in bench.submitted} == {"1"}

    on_bench(lambda: Bench(app), body)


def test_what_no_executor_took_is_submitted_again(app: Celeriac, complete: Callable[[int], None]) -> None:
    complete(1)

    async def body(bench: Bench) -> None:
        bench.joiner.look()
        (join,) = await bench.has_submitted(1)
        bench.joiner.resubmit([join])
        assert await bench.has_submitted(2) == [join, join]

    on_bench(lambda: Bench(app), body)


def test_what_the_program_says_of_all_its_tasks_is_not_for_joins(
    app: Celeriac, complete: Callable[[int], None]
) -> None:
    app.conf.task_annotations = {"*": {"acks_late": True, "time_limit": 2, "track_started": True}}
    complete(1)

    async def body(bench: Bench) -> None:
        bench.joiner.look()
        (join,) = await bench.has_submitted(1)
        assert not join.policy.acks_late
        assert not join.track_started
        assert (join.job.time_limit, join.job.soft_time_limit) == (None, None)

    on_bench(lambda: Bench(app, time_limit=1.0), body)
