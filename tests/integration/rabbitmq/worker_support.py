"""Short words for the tests of whole workers beside this file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celeriac.exceptions import OperationalError
from integration.worker.conftest import DEADLINE, Bench, RunningWorker, wait_until

#: Seconds after the server's return within which a worker takes tasks again, and those that a busy machine may add.
BACK = 5.0
FORGIVEN = 10.0


def patiently(call: Callable[[], Any]) -> Any:
    """What `call` returns, as soon as the broker lets it."""

    def attempt() -> tuple[Any] | None:
        try:
            return (call(),)
        except OperationalError:
            return None

    return wait_until(attempt, "the broker takes calls")[0]


def works_again(bench: Bench, what: str) -> None:
    """Send a task now and measure; printed, since the assertion alone does not tell how good it is."""
    began = time.monotonic()
    assert patiently(lambda: bench.tasks.add.delay(1, 1)).get(timeout=DEADLINE) == 2
    took = time.monotonic() - began
    print(f"back {took:.2f} s after {what}")
    assert took < BACK + FORGIVEN


def each_ran_once(bench: Bench, names: list[str], timeout: float = DEADLINE) -> None:
    """Wait until all `noted` of these names have run; none did so twice."""
    wait_until(lambda: all(bench.count(f"ran-{name}") for name in names), "all tasks have run", timeout)
    assert [name for name in names if bench.count(f"ran-{name}") > 1] == []


def noticed(worker: RunningWorker) -> None:
    """Wait until the worker says that it is held up."""
    wait_until(lambda: "Work is held up" in worker.log, "the worker has noticed")


def complaints(worker: RunningWorker) -> list[str]:
    """What the worker has logged, without what is usual."""
    return [line for line in worker.log.splitlines() if any(level in line for level in ("WARN", "ERROR", "CRITICAL"))]


def quiet(worker: RunningWorker) -> None:
    """One line when it stops and one when it goes on; beside them those about single tasks."""
    assert "Traceback" not in worker.log
    said = [line for line in complaints(worker) if "was lost (" not in line and "Recovered" not in line]
    assert len(said) <= 4, said
    assert sum("Work is held up" in line for line in said) <= 1, said
