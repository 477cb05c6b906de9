"""What a worker does with tasks that go as they should: every kind of executor, states, retries, order."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from celeriac import states
from celeriac.exceptions import RemoteError

from .conftest import DEADLINE, Bench, wait_until


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "solo"])
def test_every_pool_runs_functions_and_coroutines(bench: Bench, pool: str) -> None:
    bench.start("-P", pool, "-c", "2")
    results = [bench.tasks.add.delay(number, 1) for number in range(20)]
    soon = [bench.tasks.add_soon.delay(number, 1) for number in range(20)]
    assert [result.get(timeout=DEADLINE) for result in results] == list(range(1, 21))
    assert [result.get(timeout=DEADLINE) for result in soon] == list(range(1, 21))


def test_each_task_runs_where_it_belongs(bench: Bench) -> None:
    worker = bench.start("-P", "prefork", "-c", "1")
    process, thread_name = bench.tasks.where.delay().get(timeout=DEADLINE)
    assert process != worker.process.pid
    assert thread_name == "MainThread"
    in_thread, name = bench.tasks.where_in_thread.delay().get(timeout=DEADLINE)
    assert in_thread not in {process, worker.process.pid}
    assert name.startswith("celeriac-task")
    in_coroutine, _loop = bench.tasks.where_in_coroutine.delay().get(timeout=DEADLINE)
    assert in_coroutine not in {process, in_thread, worker.process.pid}


def test_results_from_asyncio(bench: Bench) -> None:
    bench.start("-c", "1")

    async def main() -> list[int]:
        results = [await bench.tasks.add_soon.adelay(number, 1) for number in range(50)]
        return [await result.aget(timeout=DEADLINE) for result in results]

    assert asyncio.run(main()) == list(range(1, 51))


def test_a_retry_comes_back_with_its_count(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    assert bench.tasks.fails_twice.delay().get(timeout=DEADLINE) == 2
    assert worker.log.count("retry: Retry in 0.05s: ValueError('not yet')") == 2


def test_a_countdown_is_kept(bench: Bench) -> None:
    bench.start("-c", "1")
    sent = time.monotonic()
    later = bench.tasks.add.apply_async((1, 2), countdown=0.5)
    now = bench.tasks.add.delay(3, 4)
    assert now.get(timeout=DEADLINE) == 7
    assert later.get(timeout=DEADLINE) == 3
    assert time.monotonic() - sent >= 0.5


def test_failures_come_back_as_exceptions(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    result = bench.tasks.raises.delay("boom")
    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=DEADLINE)
    assert result.state == states.FAILURE
    assert "in raises" in result.traceback
    assert "raised unexpected: ValueError('boom')" in worker.log


def test_started_is_stored_when_asked_for(bench: Bench) -> None:
    bench.start("-c", "1")
    result = bench.tasks.tracked.delay()
    wait_until(lambda: result.state == states.STARTED, "STARTED")
    assert result.info["pid"] == bench.pid_of("begin-tracked")
    bench.open("tracked")
    result.get(timeout=DEADLINE)
    assert result.state == states.SUCCESS


def test_ignore_writes_nothing_and_reject_goes_to_the_dead_letters(bench: Bench) -> None:
    bench.start("-c", "1")
    ignored = bench.tasks.ignored.delay()
    rejected = bench.tasks.rejected.delay()
    bench.tasks.add.delay(1, 1).get(timeout=DEADLINE)
    letters = wait_until(lambda: asyncio.run(bench.tasks.app.broker.dead_letters()), "a dead letter")
    assert [(letter.message.headers["id"], letter.reason) for letter in letters] == [(rejected.id, "spoilt")]
    assert ignored.state == states.PENDING
    with pytest.raises((RemoteError, Exception)):
        rejected.get(timeout=DEADLINE)


def test_what_waits_behind_a_slow_task_goes_to_a_free_executor(bench: Bench) -> None:
    bench.start("-c", "2")
    for number in range(400):  # fast ones, so that executors are given many ahead
        bench.tasks.noted.delay(f"warm-{number}")
    slow = bench.tasks.gated.delay("slow")
    rest = [bench.tasks.add.delay(number, 0) for number in range(100)]
    assert [result.get(timeout=DEADLINE) for result in rest] == list(range(100))
    assert slow.state == states.PENDING
    bench.open("slow")
    assert slow.get(timeout=DEADLINE) == "slow"


def test_a_task_can_send_others(bench: Bench) -> None:
    bench.start("-c", "1")
    task_id = bench.tasks.calls_another.delay().get(timeout=DEADLINE)
    assert bench.tasks.app.AsyncResult(task_id).get(timeout=DEADLINE) == 42


def test_only_the_named_queues_are_taken_from(bench: Bench) -> None:
    bench.start("-c", "1", "-Q", "first,second")
    elsewhere = bench.tasks.add.apply_async((1, 1), queue="third")
    assert bench.tasks.add.apply_async((1, 1), queue="first").get(timeout=DEADLINE) == 2
    assert bench.tasks.add.apply_async((1, 2), queue="second").get(timeout=DEADLINE) == 3
    assert elsewhere.state == states.PENDING


def test_processes_are_replaced_after_so_many_tasks(bench: Bench) -> None:
    bench.start("-c", "1", "--max-tasks-per-child", "5")
    pids = [bench.tasks.where.delay().get(timeout=DEADLINE)[0] for _ in range(20)]
    assert len(set(pids)) == 4
    burst = [bench.tasks.add.delay(number, 0) for number in range(50)]
    assert [result.get(timeout=DEADLINE) for result in burst] == list(range(50))


def test_signals_are_sent_by_their_names(bench: Bench) -> None:
    worker = bench.start("-c", "2")
    wait_until(lambda: bench.count("process-init") >= 2, "worker_process_init")
    assert worker.process.pid not in {pid for event, pid in bench.events() if event == "process-init"}
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert bench.pid_of("worker-shutdown") == worker.process.pid


def test_processes_can_be_started_anew_instead_of_forked(bench: Bench) -> None:
    worker = bench.start("-c", "1", "--", "worker_pool_start_method=spawn")
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    assert bench.tasks.add_soon.delay(1, 2).get(timeout=DEADLINE) == 3
    assert bench.tasks.killed_first.delay("anew").get(timeout=DEADLINE) == "anew"
    assert "was killed by signal 9 (SIGKILL)" in worker.log


def test_coroutines_run_while_all_processes_are_busy(bench: Bench) -> None:
    bench.start("-c", "1")
    busy = bench.tasks.gated.delay("busy")
    bench.pid_of("begin-busy")
    waiting = [bench.tasks.noted.delay(f"waits-{number}") for number in range(3)]
    assert bench.tasks.add_soon.delay(1, 2).get(timeout=DEADLINE) == 3
    assert all(result.state == states.PENDING for result in waiting)
    bench.open("busy")
    for result in [busy, *waiting]:
        result.get(timeout=DEADLINE)


def test_a_worker_whose_processes_are_busy_leaves_tasks_to_others(bench: Bench) -> None:
    bench.start("-c", "1")
    gates = [bench.tasks.gated.delay(name) for name in ("one", "two", "three")]
    bench.pid_of("begin-one")
    bench.tasks.add_soon.delay(1, 2).get(timeout=DEADLINE)  # its coroutines have room, so it has looked for more
    bench.start("-c", "2")
    bench.pid_of("begin-two")
    bench.pid_of("begin-three")
    for name in ("one", "two", "three"):
        bench.open(name)
    assert [result.get(timeout=DEADLINE) for result in gates] == ["one", "two", "three"]


def test_processes_are_replaced_when_they_use_too_much_memory(bench: Bench) -> None:
    worker = bench.start("-c", "1", "--max-memory-per-child", str(96 * 1024))
    small = [bench.tasks.keeps.delay(1).get(timeout=DEADLINE) for _ in range(2)]
    assert len(set(small)) == 1
    large = bench.tasks.keeps.delay(100).get(timeout=DEADLINE)
    assert large == small[0]
    assert bench.tasks.keeps.delay(1).get(timeout=DEADLINE) != large
    assert "worker_max_memory_per_child" in worker.log


def test_large_arguments_and_results_go_through(bench: Bench) -> None:
    bench.start("-c", "2")
    text = "x" * (5 << 20)
    results = [bench.tasks.echo.delay(text) for _ in range(4)]
    assert all(result.get(timeout=DEADLINE) == text for result in results)
