"""The servers that peers need: private ones, one of each kind for the whole run."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from scripts.servers import RABBITMQ, REDIS, find_program

from benchmarks.environments import HOME
from benchmarks.rabbit_server import rabbitmq
from benchmarks.redis_server import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager

Kind = Literal["redis", "rabbitmq"]

#: By which names the program is found.
PROGRAMS: Final[dict[Kind, tuple[str, ...]]] = {"redis": REDIS, "rabbitmq": RABBITMQ}


class Server(Protocol):
    """A running server, seen from outside."""

    @property
    def url(self) -> str:
        """Where peers find it."""
        ...

    def version(self) -> str:
        """Its version."""
        ...

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        ...

    def clear(self, queue_type: str | None = None) -> None:
        """Empty it; on RabbitMQ, queues whose declaration names no type are `queue_type` from then on."""
        ...


Servers = dict[Kind, Server]

_RUN: Final[dict[Kind, Callable[[Path], AbstractContextManager[Server]]]] = {"redis": redis, "rabbitmq": rabbitmq}


def missing(kinds: Collection[Kind]) -> list[Kind]:
    """Those of which there is no program here."""
    return [kind for kind in kinds if find_program(PROGRAMS[kind]) is None]


@contextlib.contextmanager
def running(kinds: Collection[Kind]) -> Iterator[Servers]:
    """Run those of `kinds` of which there is a program here."""
    HOME.mkdir(parents=True, exist_ok=True)
    absent = missing(kinds)
    with contextlib.ExitStack() as stack:
        servers: Servers = {}
        for kind in kinds:
            if kind not in absent:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=HOME)))
                servers[kind] = stack.enter_context(_RUN[kind](folder))
        yield servers
