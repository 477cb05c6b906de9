"""How soon an idle worker starts a task, and how soon the caller has its result."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.harness import BenchError
from benchmarks.scenarios.base import Metric, Scenario, Subject, percentile

_SINGLES: Final = 300
_GAP: Final = 0.02
_COUNTDOWN: Final = 1.0
_LONGEST: Final = 3.0


def _latency(subject: Subject) -> dict[str, float]:
    return _stamped(subject, "stamps")


def _due(subject: Subject) -> dict[str, float]:
    return _stamped(subject, "due", countdown=_COUNTDOWN)


def _due_within(subject: Subject) -> dict[str, float]:
    return _stamped(subject, "due_within", countdown=_COUNTDOWN, most=_LONGEST)


def _stamped(subject: Subject, operation: str, **request: float) -> dict[str, float]:
    """Have the client send tasks that note a time; what they have noted, in milliseconds."""
    count = _SINGLES if subject.scale == 1 else 100
    with subject.place() as here, here.ready_worker() as worker:
        here.client(operation, count=count, gap=_GAP, **request)
        here.wait(count + 1, worker, limit=30)
        time.sleep(0.05)
        samples = [sample / 1e6 for sample in here.board.samples(count)]
    if not all(samples):
        raise BenchError(f"{samples.count(0)} of {count} tasks did not run")
    return _percentiles(samples)


def _percentiles(samples: list[float]) -> dict[str, float]:
    return {
        "p50": percentile(samples, 0.5),
        "p99": percentile(samples, 0.99),
        "min": min(samples),
        "max": max(samples),
    }


def _round_trip(subject: Subject) -> dict[str, float]:
    count = _SINGLES if subject.scale == 1 else 50
    with subject.place(results=True) as here, here.ready_worker():
        samples = [seconds * 1e3 for seconds in here.client("round_trips", count=count, limit=15)["samples"]]
    return _percentiles(samples)


_METRICS: Final = (
    Metric("p50", "p50", "ms", "lower"),
    Metric("p99", "p99", "ms", "lower"),
    Metric("max", "longest", "ms", "lower"),
)
LATENCY: Final = Scenario(
    "latency", "Idle worker: from before the call to the task's first line (300 singles)", _METRICS, _latency
)
DUE: Final = Scenario(
    "due",
    "Idle worker: lateness of tasks that are due one second after the call (300)",
    (*_METRICS, Metric("min", "earliest", "ms", "higher", compared=False)),
    _due,
    frozenset(("future",)),
)
DUE_WITHIN: Final = Scenario(
    "due-within",
    "Idle worker: lateness of tasks that are due one to three seconds after the call, at random (300)",
    DUE.metrics,
    _due_within,
    frozenset(("future",)),
)
ROUND_TRIP: Final = Scenario(
    "round-trip",
    "Send and get the result (300, one after the other)",
    _METRICS,
    _round_trip,
    frozenset(("results",)),
)
