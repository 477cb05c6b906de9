"""The producing side of a scenario: one operation on a peer's port, its figures as JSON on standard output.

Run by the harness in the peer's environment: `python -m benchmarks.apps.client MODULE OPERATION JSON`.
Knows no peer.
"""

from __future__ import annotations

import importlib
import json
import random
import statistics
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.apps.port import Arguments, BulkPort, Calls, Port

Request = dict[str, int | float | str]
Answer = dict[str, float | list[float]]


#: What each task is called with when only the number of calls matters.
_ARGUMENTS: dict[str, tuple[int, ...]] = {"noop": (), "value": (1,), "nap": (100,)}


def _calls(task: str, count: int) -> Calls:
    return [_ARGUMENTS[task]] * count


def _warm_up(port: Port, task: str, calls: Calls, request: Request) -> None:
    """With `warm`: one more call before, for what a process does once, such as to connect."""
    if request.get("warm"):
        port.send_each(task, calls[:1])


def each(port: Port, request: Request) -> Answer:
    """Enqueue `count` tasks one by one; `p50` is the median of single calls, in seconds."""
    task, calls = str(request["task"]), _calls(str(request["task"]), int(request["count"]))
    _warm_up(port, task, calls, request)
    moments: list[float] = []

    def noted() -> Iterator[Arguments]:
        for args in calls:
            moments.append(time.perf_counter())
            yield args
        moments.append(time.perf_counter())

    port.send_each(task, noted())
    singles = [after - before for before, after in pairwise(moments)]
    return {"seconds": moments[-1] - moments[0], "p50": statistics.median(singles)}


def many(port: Port, request: Request) -> Answer:
    """Enqueue `count` tasks in bulk."""
    task, calls = str(request["task"]), _calls(str(request["task"]), int(request["count"]))
    _warm_up(port, task, calls, request)
    began = time.perf_counter()
    port.send_many(task, calls)
    return {"seconds": time.perf_counter() - began}


def later(port: Port, request: Request) -> Answer:
    """Enqueue `count` tasks that are due in `countdown` seconds, one by one."""
    task, calls = str(request["task"]), _calls(str(request["task"]), int(request["count"]))
    began = time.perf_counter()
    port.send_later(task, calls, float(request["countdown"]))
    return {"seconds": time.perf_counter() - began}


def later_many(port: Port, request: Request) -> Answer:
    """Enqueue `count` tasks that are due in `countdown` seconds, in bulk."""
    task, calls = str(request["task"]), _calls(str(request["task"]), int(request["count"]))
    began = time.perf_counter()
    cast("BulkPort", port).send_many_later(task, calls, float(request["countdown"]))
    return {"seconds": time.perf_counter() - began}


def stamps(port: Port, request: Request) -> Answer:
    """Send `count` time stamps, `gap` seconds apart on average, to an idle worker."""
    port.send_each("noop", [()])  # connections and imports
    port.send_each("stamp", _stamped(request, 0.0))
    return {}


def due(port: Port, request: Request) -> Answer:
    """Send `count` tasks to an idle worker, each `countdown` seconds before it is due, `gap` seconds apart."""
    countdown = float(request["countdown"])
    port.send_each("noop", [()])  # as above
    port.send_later("stamp", _stamped(request, countdown), countdown)
    return {}


def due_within(port: Port, request: Request) -> Answer:
    """As `due`, each between `countdown` and `most` seconds before it is due, at random."""
    port.send_each("noop", [()])  # as above
    for index in range(int(request["count"])):
        countdown = random.uniform(float(request["countdown"]), float(request["most"]))
        port.send_later("stamp", _stamped(request | {"count": 1}, countdown, index), countdown)
    return {}


def _stamped(request: Request, ahead: float, first: int = 0) -> Iterator[Arguments]:
    """Arguments for `stamp`, each when its time has come: the moment `ahead` seconds after it is taken out."""
    gap = float(request["gap"])
    for index in range(first, first + int(request["count"])):
        time.sleep(random.uniform(0.5 * gap, 1.5 * gap))  # no beat with the worker's own polling
        yield index, time.monotonic_ns() + round(ahead * 1e9)


def round_trips(port: Port, request: Request) -> Answer:
    """Send and wait for the result, `count` times, for at most `limit` seconds."""
    port.call("value", 0)  # connections and caches of both sides
    samples: list[float] = []
    until = time.perf_counter() + float(request["limit"])
    for number in range(int(request["count"])):
        began = time.perf_counter()
        if port.call("value", number) != number:
            raise RuntimeError(f"result of call {number} is not {number}")
        samples.append(time.perf_counter() - began)
        if time.perf_counter() > until:
            break
    return {"samples": samples}


OPERATIONS: dict[str, Callable[[Port, Request], Answer]] = {
    "each": each,
    "many": many,
    "later": later,
    "later_many": later_many,
    "stamps": stamps,
    "due": due,
    "due_within": due_within,
    "round_trips": round_trips,
}


def main(module: str, operation: str, request: str) -> None:
    """Do one operation and print its answer as the last line."""
    port = cast("Port", importlib.import_module(module).port)
    print(json.dumps(OPERATIONS[operation](port, json.loads(request))))


if __name__ == "__main__":
    main(*sys.argv[1:4])
