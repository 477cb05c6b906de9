"""The three runners: order, slots, giving back, and exceptions that hit the right attempt or none."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from celeriac.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from celeriac.message import Message, PackedMessage
from celeriac.outcome import Failed, Outcome, Succeeded
from celeriac.worker.executors.coroutines import CoroutineRunner
from celeriac.worker.executors.runners import MainThreadRunner, Runner, ThreadRunner
from celeriac.worker.ipc import Interrupt, PackedJob

DEADLINE = 10.0
Body = Callable[[], Outcome]
AsyncBody = Callable[[], Coroutine[Any, Any, Outcome]]


def job(tag: int) -> PackedJob:
    return PackedJob(tag, PackedMessage.pack(Message({"task": "t", "id": str(tag)}, {}, b"")), "celery")


class Call:
    """An attempt that runs a function of the test's."""

    def __init__(self, body: Body | None = None, coroutine: AsyncBody | None = None) -> None:
        self._body = body
        self._coroutine = coroutine

    def prepare(self) -> None:
        """Nothing to decode."""

    @property
    def is_coroutine(self) -> bool:
        return self._coroutine is not None

    def run(self) -> Outcome:
        assert self._body is not None
        return self._body()

    async def arun(self) -> Outcome:
        assert self._coroutine is not None
        return await self._coroutine()


class Record:
    """A report that remembers, and lets a test wait."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.after_pause: list[int] = []
        self.idle_after: list[int] = []
        self.outcomes: dict[int, Outcome] = {}
        self._changed = threading.Condition()

    def begins(self, job: PackedJob) -> None:
        self.after_pause.append(job.tag)

    def started(self, job: PackedJob) -> None:
        with self._changed:
            self.begun.append(job.tag)
            self._changed.notify_all()

    def done(self, job: PackedJob, outcome: Outcome, seconds: float, *, idle: bool = False) -> None:
        assert seconds >= 0
        with self._changed:
            if idle:
                self.idle_after.append(job.tag)
            self.outcomes[job.tag] = outcome
            self._changed.notify_all()

    def broken(self, job: PackedJob, error: BaseException) -> Outcome:
        return Failed(f"broken by {type(error).__name__}")

    def wait_begun(self, tag: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: tag in self.begun, DEADLINE), f"{tag} never began"

    def wait_done(self, *tags: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: all(tag in self.outcomes for tag in tags), DEADLINE)


def in_background(orders: Callable[[], None]) -> threading.Thread:
    """Play the I/O thread: runners of processes must run in the main thread."""
    thread = threading.Thread(target=orders)
    thread.start()
    return thread


def catches(kind: type[BaseException], wait: Callable[[], object]) -> Body:
    """A task that waits until it is interrupted by `kind`."""

    def body() -> Outcome:
        try:
            wait()
        except kind:
            return Failed(f"caught {kind.__name__}")
        return Succeeded()

    return body


def spin() -> None:
    """Wait in small steps, as an exception raised in a thread comes through between two of them."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        time.sleep(0.001)


def test_the_main_thread_runs_jobs_in_order() -> None:
    record = Record()
    ran: list[int] = []

    def attempt(job: PackedJob) -> Call:
        def body() -> Outcome:
            ran.append(job.tag)
            return Succeeded()

        return Call(body)

    runner = MainThreadRunner(attempt, record)
    runner.submit([job(1), job(2), job(3)])
    runner.finish()
    runner.run()
    assert ran == [1, 2, 3]
    assert list(record.outcomes) == [1, 2, 3]


def test_the_main_thread_tells_which_job_begins_unasked() -> None:
    record = Record()
    runner = MainThreadRunner(lambda _: Call(Succeeded), record)

    def orders() -> None:
        runner.submit([job(1)])
        record.wait_done(1)
        runner.submit([job(2), job(3)])
        record.wait_done(3)
        runner.finish()

    thread = in_background(orders)
    runner.run()
    thread.join()
    # Every job is either told after a pause, or follows an end that was not idle.
    for tag, before in ((1, None), (2, 1), (3, 2)):
        assert (tag in record.after_pause) or (before is not None and before not in record.idle_after)
    assert 1 in record.idle_after
    assert 1 in record.after_pause


def test_the_main_thread_gives_back_what_waits_behind_a_slow_job() -> None:
    record = Record()
    gate = threading.Event()
    runner = MainThreadRunner(lambda _: Call(lambda: Succeeded() if gate.wait(DEADLINE) else Failed("late")), record)
    back: list[int] = []

    def orders() -> None:
        runner.submit([job(1), job(2), job(3)])
        record.wait_begun(1)
        back.extend(runner.take_back())
        gate.set()
        runner.finish()

    thread = in_background(orders)
    runner.run()
    thread.join()
    assert back == [2, 3]
    assert record.outcomes == {1: Succeeded()}


@pytest.mark.parametrize(("hard", "kind"), [(False, SoftTimeLimitExceeded), (True, TimeLimitExceeded)])
def test_the_main_thread_is_interrupted_in_a_system_call(hard: bool, kind: type[BaseException]) -> None:
    record = Record()
    never = threading.Event()
    runner = MainThreadRunner(lambda _: Call(catches(kind, lambda: never.wait(DEADLINE))), record)

    def orders() -> None:
        runner.submit([job(1)])
        record.wait_begun(1)
        runner.interrupt(Interrupt(1, hard, 0.5))
        runner.finish()

    thread = in_background(orders)
    begun = time.monotonic()
    runner.run()
    thread.join()
    assert record.outcomes == {1: Failed(f"caught {kind.__name__}")}
    assert time.monotonic() - begun < DEADLINE


def test_an_interrupt_for_a_job_that_has_ended_hits_no_other() -> None:
    record = Record()
    second_runs = threading.Event()
    go_on = threading.Event()

    def attempt(job: PackedJob) -> Call:
        def body() -> Outcome:
            if job.tag == 2:
                second_runs.set()
                go_on.wait(DEADLINE)
            return Succeeded()

        return Call(body)

    runner = MainThreadRunner(attempt, record)

    def orders() -> None:
        runner.submit([job(1), job(2)])
        second_runs.wait(DEADLINE)
        runner.interrupt(Interrupt(1, False, 0.5))
        go_on.set()
        runner.finish()

    thread = in_background(orders)
    runner.run()
    thread.join()
    assert record.outcomes == {1: Succeeded(), 2: Succeeded()}


def test_the_main_thread_runs_coroutines_too() -> None:
    record = Record()

    async def coroutine() -> Outcome:
        await asyncio.sleep(0)
        return Succeeded()

    runner = MainThreadRunner(lambda _: Call(coroutine=coroutine), record)
    runner.submit([job(1), job(2)])
    runner.finish()
    runner.run()
    assert record.outcomes == {1: Succeeded(), 2: Succeeded()}


def run_in_thread(runner: Runner) -> threading.Thread:
    thread = threading.Thread(target=runner.run)
    thread.start()
    return thread


def test_threads_run_as_many_jobs_as_there_are_slots() -> None:
    record = Record()
    together = threading.Barrier(3)

    def body() -> Outcome:
        together.wait(DEADLINE)  # breaks unless three run at once
        return Succeeded()

    runner = ThreadRunner(lambda _: Call(body), record, slots=3)
    thread = run_in_thread(runner)
    runner.submit([job(1), job(2), job(3)])
    record.wait_done(1, 2, 3)
    runner.finish()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert set(record.outcomes.values()) == {Succeeded()}


@pytest.mark.parametrize(("hard", "kind"), [(False, SoftTimeLimitExceeded), (True, TimeLimitExceeded)])
def test_a_thread_is_interrupted_and_works_on(hard: bool, kind: type[BaseException]) -> None:
    record = Record()
    runner = ThreadRunner(lambda job: Call(catches(kind, spin)) if job.tag == 1 else Call(Succeeded), record, slots=1)
    thread = run_in_thread(runner)
    runner.submit([job(1), job(2)])
    record.wait_begun(1)
    runner.interrupt(Interrupt(1, hard, 0.5))
    record.wait_done(1, 2)
    runner.finish()
    thread.join(DEADLINE)
    assert record.outcomes == {1: Failed(f"caught {kind.__name__}"), 2: Succeeded()}


def test_coroutines_run_together_and_no_more_than_the_slots() -> None:
    record = Record()
    running, most = 0, 0

    async def coroutine() -> Outcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return Succeeded()

    runner = CoroutineRunner(lambda _: Call(coroutine=coroutine), record, slots=4)
    thread = run_in_thread(runner)
    tags = range(1, 21)
    runner.submit([job(tag) for tag in tags])
    record.wait_done(*tags)
    runner.finish()
    thread.join(DEADLINE)
    assert most == 4


@pytest.mark.parametrize(("hard", "kind"), [(False, SoftTimeLimitExceeded), (True, TimeLimitExceeded)])
def test_a_coroutine_gets_the_limit_as_an_exception_it_can_catch(hard: bool, kind: type[BaseException]) -> None:
    record = Record()

    async def coroutine() -> Outcome:
        try:
            await asyncio.sleep(DEADLINE)
        except kind:
            await asyncio.sleep(0)  # it may still await while it cleans up
            return Failed(f"caught {kind.__name__}")
        return Succeeded()

    runner = CoroutineRunner(lambda _: Call(coroutine=coroutine), record, slots=1)
    thread = run_in_thread(runner)
    runner.submit([job(1)])
    record.wait_begun(1)
    # The attempt reports its begin before its first await: let it get there.
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), runner.loop).result(DEADLINE)
    runner.interrupt(Interrupt(1, hard, 0.5))
    record.wait_done(1)
    runner.finish()
    thread.join(DEADLINE)
    assert record.outcomes == {1: Failed(f"caught {kind.__name__}")}


def test_coroutines_that_wait_for_a_slot_can_be_given_back_while_the_loop_is_blocked() -> None:
    record = Record()
    gate = threading.Event()

    async def blocks() -> Outcome:
        gate.wait(DEADLINE)
        return Succeeded()

    runner = CoroutineRunner(lambda _: Call(coroutine=blocks), record, slots=1)
    thread = run_in_thread(runner)
    runner.submit([job(1), job(2), job(3)])
    record.wait_begun(1)
    assert sorted(runner.take_back()) == [2, 3]
    gate.set()
    runner.finish()
    thread.join(DEADLINE)
    assert record.outcomes == {1: Succeeded()}
