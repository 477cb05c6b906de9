"""One AMQP client library, used directly: `python -m benchmarks.apps.amqp_client LIBRARY OPERATION COUNT`.

Operations: `fill` a queue (always with py-amqp), `consume` it, publish `each` message and wait for its confirm, publish
`many` with a window of unconfirmed ones. Figures go to standard output as JSON. All libraries are installed in one
environment.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.apps.amqp_message import QUEUE
from benchmarks.apps.port import BROKER

if TYPE_CHECKING:
    from collections.abc import Iterator


class Client(Protocol):
    """What each library's module has as `client`; it has connected, and declared the queue."""

    def consume(self, count: int) -> None:
        """Take so many messages, one acknowledgement for each hundred."""
        ...

    def publish_each(self, count: int) -> Iterator[None]:
        """Publish and wait for the confirm, once for each step."""
        ...

    def publish_many(self, count: int) -> None:
        """Publish so many; return when all are confirmed."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


def _open(library: str) -> Client:
    module: Any = importlib.import_module(f"benchmarks.apps.amqp_{library.replace('-', '_')}")
    client: Client = module.open_client(BROKER, QUEUE)
    return client


def _timed(client: Client, operation: str, count: int) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    figures = {}
    if operation == "each":
        moments = [began, *(time.perf_counter() for _ in client.publish_each(count))]
        figures["p50"] = statistics.median(after - before for before, after in pairwise(moments))
    elif operation == "consume":
        client.consume(count)
    else:
        client.publish_many(count)
    return {**figures, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def main(library: str, operation: str, count: str) -> None:
    """Do one operation and print its figures."""
    client = _open("pyamqp" if operation == "fill" else library)
    print(json.dumps(_timed(client, operation, int(count))))
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
