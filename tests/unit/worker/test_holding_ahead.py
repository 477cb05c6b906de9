"""How many jobs an executor is given ahead."""

from __future__ import annotations

from typing import Any, cast

from celeriac.testing import VirtualClock
from celeriac.worker.executors.executor import MAX_AHEAD, STALL_SECONDS, Executor
from celeriac.worker.ipc import ExecutorSetup


def test_nothing_is_held_behind_a_task_that_takes_longer_than_those_before() -> None:
    """Else what was taken back would be given again at once, and other workers would never see it."""
    clock = VirtualClock()
    executor = Executor(ExecutorSetup(1, "process", 1), cast("Any", None), clock.monotonic)
    executor._task_seconds = 1e-6
    assert executor._ahead() == MAX_AHEAD
    executor.assigned[1] = cast("Any", "a job that runs")
    assert executor._ahead() == MAX_AHEAD
    clock.advance(STALL_SECONDS * 1.01)
    assert executor._ahead() == 0
    executor.assigned.clear()
    assert executor._ahead() == MAX_AHEAD
