"""The one interface by which the client speaks to every peer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast

#: Where a peer keeps its files; set by the harness.
DATA = Path(os.environ.get("BENCH_DATA", "."))
#: Whether results are stored in this run.
RESULTS = os.environ.get("BENCH_RESULTS") == "1"
#: Whether there is a coroutine among the tasks: a worker may need more for that, which is not to be in other figures.
COROUTINES = os.environ.get("BENCH_COROUTINES") == "1"
#: The address of the server, for peers that need one.
BROKER = os.environ.get("BENCH_BROKER", "")
#: The address of the server for results, where that is another one.
BACKEND = os.environ.get("BENCH_BACKEND", "")
#: The type of queues on RabbitMQ, where they are on it.
QUEUE_TYPE = cast('Literal["", "classic", "quorum"]', os.environ.get("BENCH_QUEUE_TYPE", ""))
#: Whether a call shall wait until RabbitMQ has confirmed the message, where the peer leaves the choice.
CONFIRM = os.environ.get("BENCH_CONFIRM") == "1"

Arguments = tuple[int, ...]
Calls = Sequence[Arguments]


class Port(Protocol):
    """Each module of `benchmarks.apps` that stands for a peer has one, called `port`.

    Tasks are named as in `benchmarks.apps.work`. Each method does what the peer's own documentation shows.
    """

    def send_each(self, task: str, calls: Iterable[Arguments]) -> None:
        """One ordinary call after the other, each made when its arguments have been taken out of `calls`."""
        ...

    def send_many(self, task: str, calls: Calls) -> None:
        """The quickest way the peer has to send many; one by one where it has none."""
        ...

    def send_later(self, task: str, calls: Iterable[Arguments], seconds: float) -> None:
        """To be run in `seconds` from now; one after the other as in `send_each`."""
        ...

    def call(self, task: str, number: int) -> int:
        """Send, wait for the result, return it."""
        ...


class BulkPort(Port, Protocol):
    """A port of a peer that sends future tasks in bulk too."""

    def send_many_later(self, task: str, calls: Calls, seconds: float) -> None:
        """The quickest way to have many run in `seconds` from now."""
        ...
