"""The real servers that any test may ask for; see `servers`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scheduling import Scheduling
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """With `-n`, if no other way to share the tests is asked for."""
    return Scheduling(config, log) if config.getoption("dist") == "load" else None


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


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """A RabbitMQ node for this test process (with xdist: for this worker). Ask for `rabbit_url`, if that is enough."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def rabbit_vhost(rabbit_server: RabbitServer) -> Iterator[str]:
    """A virtual host of the shared node for this test alone; its name."""
    name = rabbit_server.add_vhost()
    yield name
    rabbit_server.remove_vhost(name)


@pytest.fixture
def rabbit_url(rabbit_server: RabbitServer, rabbit_vhost: str) -> str:
    """The URL of a virtual host of the shared node, with nothing in it."""
    return rabbit_server.url(rabbit_vhost)
