"""How fast a worker empties a queue that was full before it started, and what that costs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks.scenarios.base import Metric, Scenario, Subject

if TYPE_CHECKING:
    from benchmarks.harness import Place

#: Longest time for one drain, in seconds. What has run by then gives the rate.
LIMIT: Final = 45.0

_METRICS: Final = (
    Metric("rate", "rate, first to last run", "tasks/s", "higher"),
    Metric("wall", "worker's start to last run", "s", "lower"),
    Metric("cpu", "CPU per task, whole worker", "us", "lower"),
    Metric("server_cpu", "CPU per task, server", "us", "lower"),
)


def drain(here: Place, task: str, count: int) -> dict[str, float]:
    """Queue `count` tasks, start a worker, wait until all have run.

    The CPU is that between the first notice of a task that ran and shortly after the last, divided by the
    tasks between, so that the start of the worker is not in it.
    """
    here.board.clear()
    here.client("many", task=task, count=count)
    with here.worker() as worker:
        here.wait(1, worker, limit=30)
        done_before, cpu_before = here.board.totals().done, worker.cpu()
        server_before = here.server.cpu() if here.server else 0.0
        here.wait(count, worker, limit=LIMIT)
        time.sleep(0.2)  # what is settled after the last run belongs to it
        totals, cpu = here.board.totals(), worker.cpu()
        done = max(1, totals.done - done_before)
        figures = {
            "rate": totals.rate,
            "wall": (totals.last - worker.started) / 1e9,
            "cpu": (cpu - cpu_before) / done * 1e6,
        }
        if here.server:
            figures["server_cpu"] = (here.server.cpu() - server_before) / done * 1e6
        return figures


def _ignored(subject: Subject) -> dict[str, float]:
    with subject.place() as here:
        return drain(here, "noop", subject.count(20_000))


def _stored(subject: Subject) -> dict[str, float]:
    with subject.place(results=True) as here:
        return drain(here, "value", subject.count(20_000))


def _backlog(subject: Subject) -> dict[str, float]:
    rates = {}
    for key, count in (("small", 10_000), ("large", 100_000)):
        with subject.place() as here:
            rates[key] = drain(here, "noop", subject.count(count))["rate"]
    return {**rates, "kept": 100 * rates["large"] / rates["small"]}


DRAIN: Final = Scenario("drain", "Drain 20,000 no-op tasks, results ignored", _METRICS, _ignored)
DRAIN_RESULTS: Final = Scenario(
    "drain-results", "Drain 20,000 tasks, results stored", _METRICS, _stored, frozenset(("results",))
)
BACKLOG: Final = Scenario(
    "backlog",
    "Drain with 10,000 and with 100,000 queued",
    (
        Metric("small", "rate with 10,000", "tasks/s", "higher"),
        Metric("large", "rate with 100,000", "tasks/s", "higher"),
        Metric("kept", "large in per cent of small", "%", "higher", compared=False),
    ),
    _backlog,
)
