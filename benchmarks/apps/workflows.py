"""The client of a workflow scenario: sends workflows, waits for their results, prints its figures as JSON.

Run by the harness in the peer's environment: `python -m benchmarks.apps.workflows MODULE OPERATION JSON`. Knows no
peer. A result that is not the right one ends it.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.apps.shapes import SHAPES

if TYPE_CHECKING:
    from benchmarks.apps.shapes import Words

Request = dict[str, Any]
Answer = dict[str, Any]

_PAGE: Final = resource.getpagesize()


def run(words: Words, request: Request) -> Answer:
    """Send workflows of one `shape` and `size` and get their results, one after the other.

    `rounds` times, but no new one after `limit` seconds; for each result `deadline` seconds. Before, one of size 2 for
    what a process does once, such as to connect.
    """
    _one(words, request["shape"], 2, request["deadline"])
    sent: list[float] = []
    done: list[float] = []
    until = time.perf_counter() + request["limit"]
    for _ in range(request["rounds"]):
        to_send, to_result = _one(words, request["shape"], request["size"], request["deadline"])
        sent.append(to_send)
        done.append(to_result)
        if time.perf_counter() > until:
            break
    return {"sent": sent, "done": done}


def _one(words: Words, name: str, size: int, deadline: float) -> tuple[float, float]:
    """Seconds until the call that sends it returned, and until its result was here."""
    shape = SHAPES[name]
    workflow = shape.build(words, size)
    began = time.perf_counter()
    result = workflow.apply_async()
    sent = time.perf_counter()
    answer = result.get(timeout=deadline)
    done = time.perf_counter()
    if answer != shape.result(size):
        raise RuntimeError(f"the result of a {name} of {size} is {str(answer)[:200]}")
    result.forget()
    return sent - began, done - began


def send(words: Words, request: Request) -> Answer:
    """Send one workflow of `shape` and `size`; nobody waits for its result."""
    workflow = SHAPES[request["shape"]].build(words, request["size"])
    began = time.perf_counter()
    workflow.apply_async()
    return {"seconds": time.perf_counter() - began}


def stream(words: Words, request: Request) -> Answer:
    """Send a group of `size` from a generator; by how many MiB this process grew for it at most."""
    _one_group(words, 100)
    before = _memory()
    began = time.perf_counter()
    sent = _one_group(words, request["size"])
    seconds = time.perf_counter() - began
    if sent != request["size"]:
        raise RuntimeError(f"{sent} of {request['size']} members were sent")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak": peak - before}


def _one_group(words: Words, size: int) -> int:
    """Send it; how many members its result has."""
    return len(words.group(words.value.s(number) for number in range(size)).apply_async().results)


def _memory() -> float:
    """What this process has in memory, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 2**20


OPERATIONS: Final[dict[str, Callable[[Words, Request], Answer]]] = {"run": run, "send": send, "stream": stream}


def main(module: str, operation: str, request: str) -> None:
    """Do one operation and print its answer as the last line."""
    words: Words = importlib.import_module(module).words
    print(json.dumps(OPERATIONS[operation](words, json.loads(request))))


if __name__ == "__main__":
    main(*sys.argv[1:4])
