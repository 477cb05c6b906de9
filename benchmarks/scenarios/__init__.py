"""All scenarios, in the order of the report."""

from __future__ import annotations

from typing import Final

from benchmarks.scenarios.base import Metric, Scenario, Subject
from benchmarks.scenarios.coroutines import COROUTINES
from benchmarks.scenarios.drain import BACKLOG, DRAIN, DRAIN_RESULTS
from benchmarks.scenarios.enqueue import ENQUEUE
from benchmarks.scenarios.latency import LATENCY, ROUND_TRIP
from benchmarks.scenarios.memory import FUTURE, MEMORY
from benchmarks.scenarios.startup import STARTUP

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        DRAIN,
        DRAIN_RESULTS,
        ENQUEUE,
        LATENCY,
        ROUND_TRIP,
        STARTUP,
        MEMORY,
        BACKLOG,
        FUTURE,
        COROUTINES,
    )
}

__all__ = ["SCENARIOS", "Metric", "Scenario", "Subject"]
