"""Short words for the tests of results beside this file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from celeriac.backends.redis import RedisBackend
from celeriac.config import Settings
from celeriac.exceptions import OperationalError
from celeriac.outcome import ResultRecord
from celeriac.result_meta import encode_meta
from celeriac.storage.redis.links import Links
from celeriac.storage.redis.reading import read_location
from celeriac.testing.conformance.support import Crew
from servers.redis import RedisServer

#: Seconds after which something that should happen soon counts as not happening.
PATIENCE = 20.0


def make_backend(url: str, *, transport: Mapping[str, Any] | None = None, **options: Any) -> RedisBackend:
    """A backend on a URL, with transport options and the constructor's own."""
    location = read_location(url, transport or {}, setting="result_backend", settings=Settings())
    return RedisBackend(location, **options)


def done(task_id: str) -> ResultRecord:
    """A result that is ready."""
    return ResultRecord(task_id, "SUCCESS", encode_meta(task_id=task_id, status="SUCCESS", result="done"))


def connections(server: RedisServer) -> int:
    """How many there are beside the one that asks."""
    return int(server.call("CLIENT", "LIST").count(b"\n")) - 1


def listeners(backend: RedisBackend, task_id: str) -> int:
    """How many connections listen for a result; none when the server is away."""
    links = Links(backend.location)
    try:
        return int(links.call("PUBSUB", "NUMSUB", backend.key(task_id))[1])
    except OperationalError:
        return 0
    finally:
        links.close()


def wait_in_thread(backend: RedisBackend, task_id: str) -> Crew:
    """A thread that waits for `done(task_id)`."""
    crew = Crew()

    def wait() -> None:
        assert backend.wait_ready(task_id, PATIENCE) == done(task_id)

    crew.start(wait)
    return crew


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds that no signal tells of.

    Raises:
        AssertionError: it does not in time.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)
