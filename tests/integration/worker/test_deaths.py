"""Processes that die at the wrong moment: executors, supervisors, templates."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from celeriac import states
from celeriac.exceptions import WorkerLostError

from .conftest import DEADLINE, Bench, is_alive, wait_until


def has_begun_twice(bench: Bench, name: str) -> bool:
    return bench.count(f"begin-{name}") == 2


def test_a_killed_process_is_replaced_and_its_task_runs_again(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    assert bench.tasks.killed_first.delay("once").get(timeout=DEADLINE) == "once"
    assert bench.count("begin-once") == 2
    assert "was killed by signal 9 (SIGKILL)" in worker.log
    assert "1 of 3" in worker.log


def test_a_task_that_always_kills_its_process_becomes_a_dead_letter(bench: Bench) -> None:
    bench.start("-c", "2")
    poison = bench.tasks.killer.delay()
    others = [bench.tasks.add.delay(number, 0) for number in range(50)]
    assert [result.get(timeout=DEADLINE) for result in others] == list(range(50))
    with pytest.raises(WorkerLostError):
        poison.get(timeout=DEADLINE)
    (letter,) = asyncio.run(bench.tasks.app.broker.dead_letters())
    assert letter.message.headers["id"] == poison.id
    assert "lost 3 times" in letter.reason
    assert len(letter.history) == 3
    assert all("WorkerLostError" in loss.reason for loss in letter.history)
    assert bench.count("begin-killer") == 3


def test_a_task_that_shall_not_run_again_fails_when_its_process_is_killed(bench: Bench) -> None:
    bench.start("-c", "1")
    with pytest.raises(WorkerLostError):
        bench.tasks.killed_once_and_for_all.delay().get(timeout=DEADLINE)
    assert bench.count("begin-once") == 1


def test_an_early_acknowledged_task_never_runs_twice(bench: Bench) -> None:
    bench.start("-c", "1")
    result = bench.tasks.gated_early.delay("early")
    os.kill(bench.pid_of("begin-early"), signal.SIGKILL)
    with pytest.raises(WorkerLostError):
        result.get(timeout=DEADLINE)
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    assert bench.count("begin-early") == 1


def test_what_a_killed_worker_held_runs_elsewhere(bench: Bench) -> None:
    first = bench.start("-c", "2", CELERIAC_TEST_LEASE="1")
    held = [bench.tasks.gated.delay(name) for name in ("a", "b")]
    for name in ("a", "b"):
        bench.pid_of(f"begin-{name}")
    children = first.children()
    first.process.kill()
    second = bench.start("-c", "2", CELERIAC_TEST_LEASE="1")
    for name in ("a", "b"):
        wait_until(partial(has_begun_twice, bench, name), f"{name} again")
        bench.open(name)
    assert [result.get(timeout=DEADLINE) for result in held] == ["a", "b"]
    assert "Recovered 2 tasks" in second.log
    wait_until(lambda: not any(is_alive(pid) for pid in children), "executors end with their supervisor")


def test_a_task_that_holds_the_interpreter_keeps_its_lease(bench: Bench) -> None:
    bench.start("-c", "1", CELERIAC_TEST_LEASE="1")
    bench.start("-c", "1", CELERIAC_TEST_LEASE="1")
    result = bench.tasks.holds_the_interpreter.delay(4)
    assert result.get(timeout=DEADLINE) == "done"
    assert bench.count("begin-holding") == 1


def test_a_stopped_worker_can_not_settle_what_others_took_over(bench: Bench) -> None:
    stopped = bench.start("-c", "1", CELERIAC_TEST_LEASE="1")
    result = bench.tasks.gated.delay("contested")
    first_pid = bench.pid_of("begin-contested")
    stopped.signal(signal.SIGSTOP)
    try:
        bench.start("-c", "1", CELERIAC_TEST_LEASE="1")
        wait_until(lambda: bench.count("begin-contested") == 2, "the second run")
        bench.open("contested")
        assert result.get(timeout=DEADLINE) == "contested"
    finally:
        stopped.signal(signal.SIGCONT)
    wait_until(lambda: "it was taken over by another" in stopped.log, "the refusal in the log")
    assert first_pid in {pid for event, pid in bench.events() if event == "end-contested"}
    assert result.state == states.SUCCESS


def test_a_killed_template_is_replaced(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    bench.tasks.add.delay(1, 1).get(timeout=DEADLINE)
    (template,) = [pid for pid in worker.children() if is_template(pid)]
    os.kill(template, signal.SIGKILL)
    wait_until(lambda: "template ended; starting another" in worker.log, "the log line")
    assert bench.tasks.killed_first.delay("after").get(timeout=DEADLINE) == "after"


def is_template(pid: int) -> bool:
    """Executors are forked from it and so bear its command line, but they have threads of their own."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


def test_a_process_that_never_gets_ready_is_replaced(bench: Bench) -> None:
    worker = bench.start("-c", "1", "--", "worker_proc_alive_timeout=0.5", CELERIAC_TEST_INIT_HANGS="1")
    wait_until(lambda: "is not ready after 0.5 s" in worker.log, "the log line")
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    assert bench.tasks.where_in_thread.delay().get(timeout=DEADLINE)
    assert bench.tasks.add_soon.delay(1, 1).get(timeout=DEADLINE) == 2


def test_many_kills_of_executors_lose_nothing(bench: Bench) -> None:
    worker = bench.start("-c", "2")
    results = [bench.tasks.add.delay(number, 0) for number in range(3000)]
    for _ in range(5):
        time.sleep(0.05)  # let some of them run: the kills are spread over the work
        victims = [pid for pid in worker.children() if not is_template(pid)]
        if victims:
            os.kill(victims[0], signal.SIGKILL)
    assert [result.get(timeout=DEADLINE) for result in results] == list(range(3000))
