"""What workers cost at rest, and what they ask of Redis: at rest, under load, and as the fleet grows."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING, Final

from benchmarks.harness import BenchError, Place, Worker
from benchmarks.redis_meter import Meter
from benchmarks.scenarios.base import Metric, Scenario, Subject, redis_of

if TYPE_CHECKING:
    from benchmarks.servers import Server

#: Seconds until a worker's start has died away: connections, first looks, greetings between workers.
_SETTLE: Final = 5.0
#: Longest time until all workers of a fleet are connected, in seconds.
_GATHERED: Final = 60.0


def _at_rest(subject: Subject) -> dict[str, float]:
    with subject.place() as here, here.ready_worker() as worker:
        if here.server is None:
            raise BenchError(f"{here.peer.name} uses no server")
        time.sleep(_SETTLE)
        return _watched(subject, here.server, [worker])


def _watched(subject: Subject, server: Server, workers: list[Worker]) -> dict[str, float]:
    """What goes on for some seconds: processor time first, then commands, as MONITOR costs time itself."""
    seconds = 10.0 if subject.scale == 1 else 4.0

    def cpu() -> float:
        return sum(worker.cpu() for worker in workers)

    worker_cpu, server_cpu, began = cpu(), server.cpu(), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    figures = {"cpu": 100 * (cpu() - worker_cpu) / took, "server_cpu": 100 * (server.cpu() - server_cpu) / took}
    if not isinstance(server, Meter):
        return figures
    began = time.monotonic()
    with server.commands() as commands:
        time.sleep(seconds)
    return {**figures, "commands": commands.sent.total() / (time.monotonic() - began)}


def _under_load(subject: Subject) -> dict[str, float]:
    """As `drain`, but slowed down by MONITOR. The commands of the worker's start are among those counted."""
    count = subject.count(20_000)
    with subject.place() as here:
        here.client("many", task="noop", count=count)
        with redis_of(here).commands() as commands, here.worker() as worker:
            here.wait(count, worker, limit=60)
            time.sleep(0.3)  # what is settled after the last run belongs to it
        done = here.board.totals().done
    return {"sent": commands.sent.total() / done, "inner": commands.inner.total() / done}


def _fleet(subject: Subject) -> dict[str, float]:
    sizes = subject.peer.fleet_sizes
    rates, shares = [], []
    for size in sizes:
        with subject.place() as here, contextlib.ExitStack() as stack:
            server = redis_of(here)
            workers = _start_fleet(here, server, size, stack)
            figures = _watched(subject, server, workers)
            rates.append(figures["commands"])
            shares.append(figures["server_cpu"])
    each = [rate / size for rate, size in zip(rates, sizes, strict=True)]
    return {
        **dict(zip(("small", "middle", "large"), each, strict=True)),
        "slope": statistics.linear_regression(sizes, rates).slope,
        "growth": each[-1] / each[0],
        "server_cpu": shares[-1],
    }


def _start_fleet(here: Place, server: Meter, size: int, stack: contextlib.ExitStack) -> list[Worker]:
    """Start `size` idle workers; they are there when no more connections come in."""
    command, before = here.peer.fleet_worker, server.clients()
    if "{count}" in command:
        workers = [stack.enter_context(here.worker(command, count=size))]
    else:
        workers = [stack.enter_context(here.worker(command, number=number)) for number in range(size)]
    until = time.monotonic() + _GATHERED
    _gather(server, workers, before + size, until)
    time.sleep(_SETTLE)
    return workers


def _gather(server: Meter, workers: list[Worker], least: int, until: float) -> None:
    """Wait until there are `least` connections and their number has not changed for two seconds."""
    known, since = 0, time.monotonic()
    while True:
        for worker in workers:
            worker.check()
        now, count = time.monotonic(), server.clients()
        if count != known:
            known, since = count, now
        if count >= least and now - since > 2.0:
            return
        if now > until:
            raise BenchError(f"{count} of {least} connections after {_GATHERED:.0f} s")
        time.sleep(0.1)


AT_REST: Final = Scenario(
    "at-rest",
    "A worker of two processes at rest",
    (
        Metric("cpu", "CPU, whole worker", "% of a core", "lower"),
        Metric("commands", "Redis commands", "1/s", "lower"),
        Metric("server_cpu", "CPU, server", "% of a core", "lower", compared=False),
    ),
    _at_rest,
    frozenset(("server",)),
)
COMMANDS: Final = Scenario(
    "commands",
    "Redis commands for each of 20,000 no-op tasks, results ignored",
    (
        Metric("sent", "sent by the worker", "per task", "lower"),
        Metric("inner", "inside scripts", "per task", "lower", compared=False),
    ),
    _under_load,
    frozenset(("redis",)),
)
FLEET: Final = Scenario(
    "fleet",
    "Idle workers on one Redis: 10, 100, 1,000 of Celeriac (simulated); 2, 4, 8 of Celery",
    (
        Metric("small", "commands of each worker, 10 (2) workers", "1/s", "lower"),
        Metric("middle", "of each, 100 (4) workers", "1/s", "lower"),
        Metric("large", "of each, 1,000 (8) workers", "1/s", "lower"),
        Metric("slope", "slope: commands that one more adds", "1/s", "lower"),
        Metric("growth", "last of these by first (1: linear)", "times", "lower", compared=False),
        Metric("server_cpu", "CPU of redis-server, 1,000 (8) workers", "% of a core", "lower", compared=False),
    ),
    _fleet,
    frozenset(("fleet",)),
)
