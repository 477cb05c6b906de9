"""Tasks that do what no task should: the worker and the tasks beside them are unharmed."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from celeriac import states
from celeriac.exceptions import WorkerLostError
from celeriac.message import Message, Publication

from .conftest import DEADLINE, Bench, wait_until


def test_a_death_is_seen_though_another_process_holds_the_socket(bench: Bench) -> None:
    bench.start("-c", "1")
    begun = time.monotonic()
    assert bench.tasks.forks_and_dies.delay("left-behind").get(timeout=DEADLINE) == "left-behind"
    assert time.monotonic() - begun < 20, "not only when the process that was left behind has ended"
    os.kill(bench.pid_of("left-behind"), signal.SIGKILL)


def test_a_process_pool_in_a_task_can_end_its_processes(bench: Bench) -> None:
    bench.start("-c", "1")
    assert bench.tasks.uses_a_pool.delay().get(timeout=DEADLINE) == [2, 4, 6]


def test_a_task_that_kills_its_process_group_hits_itself_only(bench: Bench) -> None:
    worker = bench.start("-c", "2")
    beside = bench.tasks.gated.delay("beside")
    bench.pid_of("begin-beside")
    with pytest.raises(WorkerLostError):
        bench.tasks.kills_its_group.delay().get(timeout=DEADLINE)
    bench.open("beside")
    assert beside.get(timeout=DEADLINE) == "beside"
    assert bench.count("begin-beside") == 1
    assert "template ended" not in worker.log


def test_a_task_that_closes_all_files_becomes_a_dead_letter(bench: Bench) -> None:
    bench.start("-c", "1")
    closing = bench.tasks.closes_everything.delay()
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    with pytest.raises(WorkerLostError):
        closing.get(timeout=DEADLINE)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_an_outcome_that_can_not_be_sent_is_a_failure(bench: Bench, pool: str) -> None:
    bench.start("-P", pool, "-c", "1")
    odd = bench.tasks.rejects_oddly.delay()
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    wait_until(lambda: odd.state == states.FAILURE, "a failure")


def test_a_coroutine_that_cancels_itself_fails(bench: Bench) -> None:
    bench.start("-c", "1")
    result = bench.tasks.cancels_itself.delay()
    wait_until(lambda: result.state == states.FAILURE, "a failure")
    assert bench.tasks.add_soon.delay(1, 1).get(timeout=DEADLINE) == 2


def test_a_coroutine_that_cancels_all_others_does_not_end_its_executor(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    bench.tasks.cancels_all.delay().get(timeout=DEADLINE)
    assert bench.tasks.add_soon.delay(1, 1).get(timeout=DEADLINE) == 2
    assert "ended" not in worker.log
    assert "exited" not in worker.log


def test_a_thread_that_ends_the_process_while_another_is_overdue(bench: Bench) -> None:
    bench.start("-c", "1")
    overdue = bench.tasks.hangs_in_thread.apply_async((), time_limit=0.2)
    exiting = bench.tasks.exits_from_thread.delay("exiting")
    wait_until(lambda: overdue.state == states.FAILURE, "the hard limit")
    bench.open("exiting")
    assert exiting.get(timeout=DEADLINE) == "exiting"


def test_a_hard_limit_never_hits_the_next_task(bench: Bench) -> None:
    worker = bench.start("-c", "2")
    limited = [bench.tasks.takes.apply_async((0.02,), time_limit=0.02) for _ in range(60)]
    beside = [bench.tasks.takes.apply_async((0.02,)) for _ in range(60)]
    for result in beside:
        result.get(timeout=DEADLINE)
    wait_until(lambda: all(result.ready() for result in limited), "all ended")
    assert "was lost" not in worker.log


class Bomb:
    """Ends whichever process unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (9,)


def test_a_body_that_kills_who_reads_it_never_reaches_the_supervisor(bench: Bench) -> None:
    worker = bench.start("-c", "1", "--", "accept_content=json,pickle")
    body = pickle.dumps([[Bomb(), 2], {}, {"errbacks": None}])
    headers = {"task": "worker_app.add", "id": "bomb", "retries": 0}
    bomb = Message(headers, {}, body, "application/x-python-serialize", "binary")
    bench.tasks.app.broker.publish([Publication(bomb, "celery")])
    wait_until(lambda: asyncio.run(bench.tasks.app.broker.dead_letters()), "a dead letter")
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    assert worker.process.poll() is None


def test_a_worker_takes_few_more_than_it_can_run(bench: Bench) -> None:
    bench.start("-c", "1")  # with room for a hundred coroutines
    for number in range(60):
        bench.tasks.gated.delay(f"slow-{number}")
    bench.pid_of("begin-slow-0")
    with closing(sqlite3.connect(bench.folder / "queue.sqlite3")) as database:
        (held,) = database.execute("SELECT count(*) FROM held").fetchone()
    # Each trip may bring twice as many as the one before, until one has to wait: on a busy machine that is seen late.
    assert held <= 34


def test_early_acknowledged_tasks_are_handed_back_when_they_have_not_begun(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    bench.tasks.gated.delay("in-front")
    bench.pid_of("begin-in-front")
    waiting = [bench.tasks.early.delay(f"early-{number}") for number in range(5)]
    bench.tasks.add_soon.delay(1, 1).get(timeout=DEADLINE)  # by now they have been taken
    worker.signal(signal.SIGQUIT)
    assert worker.wait() == 1
    bench.open("in-front")
    bench.start("-c", "1")
    assert [result.get(timeout=DEADLINE) for result in waiting] == [f"early-{number}" for number in range(5)]
    assert all(bench.count(f"ran-early-{number}") == 1 for number in range(5))


def test_shutdown_handlers_of_processes_run_to_their_end(bench: Bench) -> None:
    worker = bench.start("-c", "2")
    wait_until(lambda: bench.count("process-init") >= 2, "executors")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert bench.count("process-shutdown") == bench.count("process-init")
