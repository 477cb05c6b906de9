"""How long it takes until something can happen."""

from __future__ import annotations

import subprocess
import time
from typing import Final

from benchmarks.environments import variables
from benchmarks.scenarios.base import Metric, Scenario, Subject

_TIMES: Final = 7


def _milliseconds(command: list[str]) -> float:
    """The least wall time of `command`: what else the machine does can only add to it."""
    samples = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, timeout=30, env=variables())
        samples.append((time.perf_counter() - began) * 1e3)
    return min(samples)


def _run(subject: Subject) -> dict[str, float]:
    peer, environment = subject.peer, subject.environment
    python = environment.python
    figures = {
        "bare": _milliseconds([python, "-c", "pass"]),
        "import": _milliseconds([python, "-c", peer.imports]),
    }
    if "version" in peer.features:
        figures["version"] = _milliseconds([environment.program(peer.worker[0]), "--version"])
    with subject.place() as here:
        here.client("each", task="noop", count=1)
        with here.worker() as worker:
            here.wait(1, worker, limit=30)
            figures["ready"] = (here.board.totals().last - worker.started) / 1e6
    return figures


STARTUP: Final = Scenario(
    "startup",
    "Start-up",
    (
        Metric("bare", "python -c pass, to compare", "ms", "lower", compared=False),
        Metric("import", "python -c with the import", "ms", "lower"),
        Metric("version", "command --version", "ms", "lower"),
        Metric("ready", "worker's start to the first task's run", "ms", "lower"),
    ),
    _run,
)
