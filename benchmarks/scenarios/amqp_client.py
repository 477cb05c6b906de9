"""What an AMQP client library does by itself, without a task queue on top."""

from __future__ import annotations

from typing import Final

from benchmarks.harness import Place
from benchmarks.scenarios.base import Metric, Scenario, Subject

_MODULE: Final = "benchmarks.apps.amqp_client"
#: Cannot publish in bulk.
_ONE_BY_ONE: Final = "pika"


def _do(here: Place, operation: str, count: int) -> dict[str, float]:
    figures: dict[str, float] = here.run(_MODULE, here.peer.app, operation, str(count), timeout=60)
    return figures


def _run(subject: Subject) -> dict[str, float]:
    count, singles = subject.count(40_000), subject.count(2_000)
    with subject.place() as here:
        _do(here, "fill", count)
        consumed = _do(here, "consume", count)
    with subject.place() as here:
        each = _do(here, "each", singles)
    figures = {
        "consume": count / consumed["seconds"],
        "consume_cpu": consumed["cpu"] / count * 1e6,
        "each": singles / each["seconds"],
        "p50": each["p50"] * 1e6,
        "each_cpu": each["cpu"] / singles * 1e6,
    }
    if subject.peer.app == _ONE_BY_ONE:
        return figures
    with subject.place() as here:
        many = _do(here, "many", count)
    return {**figures, "many": count / many["seconds"], "many_cpu": many["cpu"] / count * 1e6}


AMQP_CLIENT: Final = Scenario(
    "amqp-client",
    "AMQP clients: consume with one acknowledgement per 100, publish confirmed; persistent messages, durable queue",
    (
        Metric("consume", "consume (40,000)", "1/s", "higher"),
        Metric("consume_cpu", "CPU of the client", "us each", "lower"),
        Metric("each", "publish one by one (2,000)", "1/s", "higher"),
        Metric("p50", "one by one, p50", "us", "lower"),
        Metric("each_cpu", "CPU of the client", "us each", "lower"),
        Metric("many", "publish, 1,000 unconfirmed (40,000)", "1/s", "higher"),
        Metric("many_cpu", "CPU of the client", "us each", "lower"),
    ),
    _run,
    frozenset(("client",)),
)
