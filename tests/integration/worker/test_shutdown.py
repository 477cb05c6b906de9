"""How a worker ends: after its tasks, at once, or after a while."""

from __future__ import annotations

import os
import signal

from celeriac import states

from .conftest import DEADLINE, Bench, is_alive, wait_until


def test_the_first_term_finishes_what_runs_and_hands_back_the_rest(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    running = bench.tasks.gated.delay("running")
    waiting = [bench.tasks.add.delay(number, 0) for number in range(5)]
    bench.pid_of("begin-running")
    children = worker.children()
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "warm shutdown" in worker.log, "the announcement")
    bench.open("running")
    assert worker.wait() == 0
    assert running.get(timeout=DEADLINE) == "running"
    assert all(result.state == states.PENDING for result in waiting)
    assert not any(is_alive(pid) for pid in children)
    bench.start("-c", "1")
    assert [result.get(timeout=DEADLINE) for result in waiting] == list(range(5))


def test_a_second_int_hands_back_what_runs_without_counting_it(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    result = bench.tasks.gated.delay("again")
    bench.pid_of("begin-again")
    worker.signal(signal.SIGINT)
    wait_until(lambda: "warm shutdown" in worker.log, "the first request")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 1
    assert result.state == states.PENDING
    bench.open("again")
    second = bench.start("-c", "1")
    assert result.get(timeout=DEADLINE) == "again"
    assert "was lost" not in second.log


def test_quit_goes_at_once(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    bench.tasks.gated.delay("quit")
    bench.pid_of("begin-quit")
    worker.signal(signal.SIGQUIT)
    assert worker.wait() == 1


def test_the_soft_period_lets_tasks_end(bench: Bench) -> None:
    worker = bench.start("-c", "1", CELERIAC_TEST_SOFT_SHUTDOWN="15")
    result = bench.tasks.gated.delay("soft")
    bench.pid_of("begin-soft")
    worker.signal(signal.SIGQUIT)
    wait_until(lambda: "soft shutdown" in worker.log, "the announcement")
    bench.open("soft")
    assert worker.wait() == 1
    assert result.get(timeout=DEADLINE) == "soft"


def test_solo_ends_too(bench: Bench) -> None:
    worker = bench.start("-P", "solo")
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_solo_quits_in_the_middle_of_a_task(bench: Bench) -> None:
    worker = bench.start("-P", "solo")
    bench.tasks.gated.delay("solo")
    bench.pid_of("begin-solo")
    worker.signal(signal.SIGQUIT)
    assert worker.wait() == 1


def test_an_idle_worker_ends_promptly_on_a_signal_to_its_whole_group(bench: Bench) -> None:
    worker = bench.start("-c", "2")
    wait_until(lambda: bench.count("process-init") >= 2, "executors")
    for pid in [*worker.children(), worker.process.pid]:
        os.kill(pid, signal.SIGTERM)
    assert worker.wait() == 0
