"""All scenarios, in the order of the report."""

from __future__ import annotations

from typing import Final

from benchmarks.scenarios.amqp_client import AMQP_CLIENT
from benchmarks.scenarios.base import Metric, Scenario, Subject
from benchmarks.scenarios.coroutines import COROUTINES
from benchmarks.scenarios.drain import BACKLOG, DRAIN, DRAIN_RESULTS
from benchmarks.scenarios.enqueue import ENQUEUE
from benchmarks.scenarios.latency import DUE, DUE_WITHIN, LATENCY, ROUND_TRIP
from benchmarks.scenarios.memory import FUTURE, MEMORY
from benchmarks.scenarios.million import MILLION, MILLION_FUTURE
from benchmarks.scenarios.server import AT_REST, COMMANDS, FLEET
from benchmarks.scenarios.startup import STARTUP
from benchmarks.scenarios.workflows import (
    CHAIN,
    CHORD,
    GROUP,
    GROUP_STREAM,
    LARGE_CHORD,
    LONG_CHAIN,
    NESTED_CHORD,
)

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        DRAIN,
        DRAIN_RESULTS,
        ENQUEUE,
        LATENCY,
        DUE,
        DUE_WITHIN,
        ROUND_TRIP,
        STARTUP,
        MEMORY,
        BACKLOG,
        FUTURE,
        COROUTINES,
        AT_REST,
        COMMANDS,
        FLEET,
        CHAIN,
        LONG_CHAIN,
        GROUP,
        CHORD,
        NESTED_CHORD,
        LARGE_CHORD,
        GROUP_STREAM,
        MILLION,
        MILLION_FUTURE,
        AMQP_CLIENT,
    )
}

#: What runs when no scenario is named, for each `--broker`.
DEFAULT: Final[dict[str, tuple[str, ...]]] = {
    "sqlite": (
        *("drain", "drain-results", "enqueue", "latency", "due", "round-trip"),
        *("startup", "memory", "backlog", "future", "coroutines"),
    ),
    "redis": (
        *("drain", "drain-results", "enqueue", "latency", "due", "round-trip"),
        *("chain", "long-chain", "group", "chord", "nested-chord", "large-chord", "group-stream"),
        *("at-rest", "commands", "fleet", "million", "million-future"),
    ),
    "rabbitmq": ("drain", "drain-results", "enqueue", "latency", "due-within", "round-trip", "at-rest"),
    "rabbitmq-clients": ("amqp-client",),
}

__all__ = ["DEFAULT", "SCENARIOS", "Metric", "Scenario", "Subject"]
