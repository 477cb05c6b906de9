"""Short words for the tests beside this file: brokers on a URL, and the point in the traffic where a script runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from celeriac.backends import open_backend
from celeriac.backends.base import Backend
from celeriac.brokers import open_broker
from celeriac.brokers.base import Broker
from celeriac.brokers.redis import scripts
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery
from celeriac.outcome import Settlement
from celeriac.storage.redis.scripts import Script
from servers.proxy import Match
from servers.redis import RedisServer

T = TypeVar("T")

#: Seconds that a call may wait for a reply in these tests.
SOCKET_TIMEOUT = 1.0
#: Seconds within which a call has to fail when the server is away: a connection is tried, and a reply waited for.
BOUND = 4 * SOCKET_TIMEOUT
#: Seconds that a lease lasts in these tests when nothing is said.
LEASE = 30.0
#: Seconds after which something that should happen soon counts as not happening.
PATIENCE = 20.0

ALL_SCRIPTS: Sequence[Script] = [each for each in vars(scripts).values() if isinstance(each, Script)]


@contextlib.contextmanager
def broker_at(url: str) -> Iterator[Broker]:
    """A broker with short timeouts."""
    broker = open_broker(url, {"socket_timeout": SOCKET_TIMEOUT, "socket_connect_timeout": SOCKET_TIMEOUT})
    try:
        yield broker
    finally:
        broker.disconnect()


@contextlib.contextmanager
def backend_at(url: str) -> Iterator[Backend]:
    """A result store with short timeouts."""
    backend = open_backend(url, options={"socket_timeout": SOCKET_TIMEOUT, "socket_connect_timeout": SOCKET_TIMEOUT})
    try:
        yield backend
    finally:
        backend.disconnect()


@contextlib.asynccontextmanager
async def worker_at(url: str, owner: str = "worker", lease_seconds: float = LEASE) -> AsyncIterator[Broker]:
    """A broker with a lease, as a worker has it. The store may be away when the block ends."""
    with broker_at(url) as broker:
        await broker.open(owner, lease_seconds=lease_seconds)
        try:
            yield broker
        finally:
            with contextlib.suppress(OperationalError):
                await broker.close()


def load_scripts(server: RedisServer) -> None:
    """Make the server know all scripts, so that the first call of each is the one that counts."""
    for script in ALL_SCRIPTS:
        server.call("SCRIPT", "LOAD", script.text)


async def lease_ends(server: RedisServer, owner: str) -> None:
    """Return when the lease of `owner` has run out by the server's clock."""
    (lease,) = [one for one in server.call("ZRANGE", "celeriac:leases", 0, -1) if one.startswith(f"{owner}/".encode())]
    end = float(server.call("ZSCORE", "celeriac:leases", lease))
    while server_time(server) <= end + 0.001:
        await asyncio.sleep(0.01)


def server_time(server: RedisServer) -> float:
    """Unix time by the server's clock."""
    seconds, microseconds = map(int, server.call("TIME"))
    return seconds + microseconds / 1e6


def runs(script: Script) -> Match:
    """Matches the command that runs `script`."""
    sha = script.sha.encode()
    return lambda command: command[0].upper() == b"EVALSHA" and command[1] == sha


async def try_on(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` returns, as soon as it does not fail because of the store."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await call()
        except OperationalError:
            assert time.monotonic() < end, f"still failing after {PATIENCE} s"
            await asyncio.sleep(0.05)


async def fails_in_time(call: Awaitable[object], bound: float = BOUND) -> str:
    """The text of the OperationalError that `call` raises, within `bound` seconds."""
    began = time.monotonic()
    try:
        found = await call
    except OperationalError as error:
        took = time.monotonic() - began
        assert took < bound, f"it took {took:.1f} s to fail"
        return str(error)
    raise AssertionError(f"no OperationalError, but {found!r}")


async def take_all(broker: Broker, count: int) -> list[Delivery]:
    """`count` messages of the queue q, in several trips if need be, while the store comes and goes."""
    taken: list[Delivery] = []
    end = time.monotonic() + PATIENCE
    while missing := count - len(taken):
        assert time.monotonic() < end, f"{missing} of {count} messages have not come within {PATIENCE} s"
        taken += await try_on(partial(broker.reserve, ("q",), missing, 0.2))
    return taken


def refused_names(refused: Sequence[Settlement]) -> list[str]:
    """Which settlements were refused."""
    return [one.delivery.message.headers["id"] for one in refused]
