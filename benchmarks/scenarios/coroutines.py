"""Coroutines that wait, a thousand at a time."""

from __future__ import annotations

from typing import Final

from benchmarks.scenarios.base import Metric, Scenario, Subject

_AT_A_TIME: Final = 1_000
_SECONDS: Final = 0.1


def _run(subject: Subject) -> dict[str, float]:
    count = max(_AT_A_TIME, int(10_000 * subject.scale))
    with subject.place(coroutines=True) as here:
        here.client("many", task="nap", count=count)
        with here.worker(subject.peer.coroutine_worker) as worker:
            here.wait(count, worker, limit=60)
            seconds = here.board.totals().seconds
    return {"seconds": seconds, "over": seconds - count / _AT_A_TIME * _SECONDS}


COROUTINES: Final = Scenario(
    "coroutines",
    "10,000 coroutines that sleep 100 ms, 1,000 at a time (ideal: 1.0 s)",
    (
        Metric("seconds", "first start to last end", "s", "lower"),
        Metric("over", "more than the ideal", "s", "lower"),
    ),
    _run,
    frozenset(("coroutines",)),
)
