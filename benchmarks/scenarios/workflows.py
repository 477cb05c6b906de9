"""What a workflow takes from the call to its final result, and what it asks of Redis.

The sizes are the same for every peer and in a quick run, so that one can be compared with another.
"""

from __future__ import annotations

import functools
import json
import statistics
from typing import TYPE_CHECKING, Any, Final

from benchmarks.harness import BenchError
from benchmarks.scenarios.base import Metric, Scenario, Subject, redis_of
from benchmarks.scenarios.drain import LIMIT, drain

if TYPE_CHECKING:
    from benchmarks.harness import Place
    from benchmarks.redis_meter import Commands

#: Longest time for one result, in seconds. A workflow that takes longer is taken for one that hangs.
_DEADLINE: Final = 60.0
#: No new round is begun after so many seconds.
_ROUNDS_WITHIN: Final = 10.0
_ROUNDS: Final = 5
_LARGE: Final = 10_000
_STREAM: Final = 100_000


def _client(here: Place, operation: str, **request: Any) -> dict[str, Any]:
    """Let a process of the peer's environment do one operation of `benchmarks.apps.workflows`."""
    request = {"deadline": _DEADLINE, "limit": _ROUNDS_WITHIN, "rounds": 1, **request}
    timeout = 2 * _DEADLINE + _ROUNDS_WITHIN + 15
    client, subject = "benchmarks.apps.workflows", here.peer.workflows
    return here.run(client, subject, operation, json.dumps(request), timeout=timeout)


def _run(subject: Subject, shape: str, size: int) -> dict[str, float]:
    """Time first; then, as MONITOR costs time itself, commands and messages."""
    with subject.place(results=True) as here, here.ready_worker():
        server = redis_of(here)
        before = server.traffic()
        timed = _client(here, "run", shape=shape, size=size, rounds=_ROUNDS)
        moved = (server.traffic() - before) / len(timed["done"])
        none, one = (_counted(here, shape=shape, size=size, rounds=rounds) for rounds in (0, 1))
    return {
        "done": statistics.median(timed["done"]) * 1e3,
        "sent": statistics.median(timed["sent"]) * 1e3,
        "messages": max(0, one.queued - none.queued),
        "commands": one.sent.total() - none.sent.total(),
        "moved": moved / 1e3,
    }


def _counted(here: Place, **request: Any) -> Commands:
    """What a client and the worker ask of Redis; with what a process does once."""
    with redis_of(here).commands() as commands:
        _client(here, "run", **request)
    return commands


def _large(subject: Subject) -> dict[str, float]:
    """Plain tasks and a chord, each queued before the worker starts, so that both are drained alike."""
    count = _LARGE
    with subject.place(results=True) as here:
        plain = drain(here, "value", count)["rate"]
    with subject.place(results=True) as here:
        sent = _client(here, "send", shape="chord", size=count)["seconds"]
        with here.worker() as worker:
            if not here.wait(count + 1, worker, limit=LIMIT):
                raise BenchError(f"{here.board.totals().done} of {count + 1} tasks ran within {LIMIT:.0f} s")
            rate = here.board.totals().rate
    return {"plain": plain, "rate": rate, "kept": 100 * rate / plain, "sent": sent * 1e3}


def _stream(subject: Subject) -> dict[str, float]:
    count = _STREAM
    with subject.place(results=True) as here:
        few = _client(here, "stream", size=count // 10)
    with subject.place(results=True) as here:
        all_ = _client(here, "stream", size=count)
    return {"seconds": all_["seconds"], "rate": count / all_["seconds"], "few": few["peak"], "peak": all_["peak"]}


_METRICS: Final = (
    Metric("done", "from the call to the final result", "ms", "lower"),
    Metric("sent", "of these, until the call returns", "ms", "lower"),
    Metric("messages", "queued", "messages", "lower"),
    Metric("commands", "sent to Redis", "commands", "lower"),
    Metric("moved", "to and from Redis", "kB", "lower"),
)


def _scenario(name: str, title: str, shape: str, size: int) -> Scenario:
    run = functools.partial(_run, shape=shape, size=size)
    return Scenario(name, f"{title} (the same size for all)", _METRICS, run, frozenset(("redis", "workflows")))


CHAIN: Final = _scenario("chain", "Chain of 100 no-op tasks", "chain", 100)
LONG_CHAIN: Final = _scenario("long-chain", "Chain of 200 no-op tasks", "chain", 200)
GROUP: Final = _scenario("group", "Group of 1,000 no-op tasks, all results fetched", "group", 1_000)
CHORD: Final = _scenario("chord", "Chord of 1,000 no-op tasks", "chord", 1_000)
NESTED_CHORD: Final = _scenario("nested-chord", "Chord of 30 chords of 30 no-op tasks", "nested", 30)
LARGE_CHORD: Final = Scenario(
    "large-chord",
    "Drain 10,000 no-op tasks with results, and a chord of 10,000 with its body",
    (
        Metric("plain", "rate of plain tasks", "tasks/s", "higher"),
        Metric("rate", "rate of the chord, body included", "tasks/s", "higher"),
        Metric("kept", "second in per cent of the first", "%", "higher", compared=False),
        Metric("sent", "the call that sends the chord", "ms", "lower"),
    ),
    _large,
    frozenset(("workflows", "large workflows")),
)
GROUP_STREAM: Final = Scenario(
    "group-stream",
    "Send a group of 100,000 from a generator, no worker",
    (
        Metric("seconds", "the call", "s", "lower"),
        Metric("rate", "rate", "tasks/s", "higher"),
        Metric("few", "memory that the sender needs for 10,000, at most", "MiB", "lower"),
        Metric("peak", "for all", "MiB", "lower"),
    ),
    _stream,
    frozenset(("workflows", "large workflows")),
)
