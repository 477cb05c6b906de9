"""The real servers that any test may ask for; see `servers`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers.redis import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis server for this test process (with xdist: for this worker). Ask for `redis_url`, if that is enough."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of the shared server, with nothing in any of its databases."""
    redis_server.call("FLUSHALL")
    return redis_server.url()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server for this test alone, which may kill it; it writes every command to disk."""
    with RedisServer(appendonly=True) as server:
        yield server
