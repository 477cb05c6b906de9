"""How soon an idle worker starts a task, and how soon the caller has its result."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.harness import BenchError, place
from benchmarks.scenarios.base import Metric, Scenario, Subject, percentile

_SINGLES: Final = 300
_GAP: Final = 0.02


def _latency(subject: Subject) -> dict[str, float]:
    count = _SINGLES if subject.scale == 1 else 100
    with place(subject.peer, subject.environment) as here, here.ready_worker() as worker:
        here.client("stamps", count=count, gap=_GAP)
        here.wait(count, worker, limit=30)
        time.sleep(0.05)
        samples = [sample / 1e6 for sample in here.board.samples(count)]
    if not all(samples):
        raise BenchError(f"{samples.count(0)} of {count} tasks did not run")
    return {"p50": percentile(samples, 0.5), "p99": percentile(samples, 0.99), "max": max(samples)}


def _round_trip(subject: Subject) -> dict[str, float]:
    count = _SINGLES if subject.scale == 1 else 50
    with place(subject.peer, subject.environment, results=True) as here, here.ready_worker():
        samples = [seconds * 1e3 for seconds in here.client("round_trips", count=count, limit=15)["samples"]]
    return {"p50": percentile(samples, 0.5), "p99": percentile(samples, 0.99), "max": max(samples)}


_METRICS: Final = (
    Metric("p50", "p50", "ms", "lower"),
    Metric("p99", "p99", "ms", "lower"),
    Metric("max", "longest", "ms", "lower"),
)
LATENCY: Final = Scenario(
    "latency", "Idle worker: from before the call to the task's first line (300 singles)", _METRICS, _latency
)
ROUND_TRIP: Final = Scenario(
    "round-trip",
    "Send and get the result (300, one after the other)",
    _METRICS,
    _round_trip,
    frozenset(("results",)),
)
