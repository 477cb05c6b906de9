"""Time limits on every kind of executor."""

from __future__ import annotations

import pytest

from celeriac.exceptions import TimeLimitExceeded

from .conftest import DEADLINE, Bench, wait_until

SPINNING = ["spins", "spins_in_thread", "spins_in_coroutine"]


@pytest.mark.parametrize("name", SPINNING)
def test_the_soft_limit_lets_a_task_clean_up(bench: Bench, name: str) -> None:
    bench.start("-c", "1")
    task = getattr(bench.tasks, name)
    assert task.apply_async((15,), soft_time_limit=0.2).get(timeout=DEADLINE) == "cleaned up"
    assert task.apply_async((0,), soft_time_limit=5).get(timeout=DEADLINE) == "finished"


@pytest.mark.parametrize("name", [*SPINNING, "hangs_in_thread", "hangs_in_coroutine"])
def test_the_hard_limit_ends_a_task_and_the_worker_goes_on(bench: Bench, name: str) -> None:
    worker = bench.start("-c", "1")
    args = () if name.startswith("hangs") else (15,)
    result = getattr(bench.tasks, name).apply_async(args, time_limit=0.3)
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=DEADLINE)
    other = name.replace("hangs", "spins")
    assert getattr(bench.tasks, other).apply_async((0,)).get(timeout=DEADLINE) == "finished"
    assert "Hard time limit (0.3s) exceeded" in worker.log


def test_a_hard_limit_harms_no_task_beside_it(bench: Bench) -> None:
    bench.start("-c", "1")
    beside = bench.tasks.spins_in_coroutine.delay(1.5)
    stuck = bench.tasks.spins_in_coroutine.apply_async((15,), time_limit=0.3)
    with pytest.raises(TimeLimitExceeded):
        stuck.get(timeout=DEADLINE)
    assert beside.get(timeout=DEADLINE) == "finished"


def test_solo_has_soft_limits_too(bench: Bench) -> None:
    bench.start("-P", "solo")
    assert bench.tasks.spins.apply_async((15,), soft_time_limit=0.2).get(timeout=DEADLINE) == "cleaned up"


def test_limits_of_the_command_line_hold_for_all_tasks(bench: Bench) -> None:
    worker = bench.start("-c", "1", "--time-limit", "0.5", "--soft-time-limit", "0.2")
    assert bench.tasks.spins.delay(15).get(timeout=DEADLINE) == "cleaned up"
    wait_until(lambda: "Soft time limit (0.2s) exceeded" in worker.log, "the log line")


def test_errbacks_of_a_task_that_was_ended_by_force_are_called(bench: Bench) -> None:
    bench.start("-c", "1")
    link_error = [bench.tasks.errback.s(), bench.tasks.errback_by_id.s()]
    result = bench.tasks.spins.apply_async((15,), time_limit=0.3, link_error=link_error)
    wait_until(lambda: bench.count(f"errback-{result.id}-TimeLimitExceeded") == 1, "the errback with the exception")
    wait_until(lambda: bench.count(f"errback-by-id-{result.id}") == 1, "the errback with the id")
