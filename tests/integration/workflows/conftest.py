"""A place to run workflows on: on each kind of store, with a worker beside the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.workflows.running import Site, running
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

STORES = ["memory", "sqlite", "redis", "rabbitmq"]


@pytest.fixture(scope="module", params=STORES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests of a module, on each of the stores."""
    broker, backend = urls(request.param, request, tmp_path_factory)
    with running(broker, backend) as made:
        yield made


def urls(
    store: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str | None]:
    """A broker and, where it keeps no results, a result store, with nothing in them."""
    if store == "memory":
        return "memory://workflows", None
    if store == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('workflows') / 'queue.sqlite3'}", None
    redis: RedisServer = request.getfixturevalue("redis_server")
    redis.call("FLUSHALL")
    if store == "redis":
        return redis.url(), redis.url()
    rabbit: RabbitServer = request.getfixturevalue("rabbit_server")
    vhost = rabbit.add_vhost()
    request.addfinalizer(lambda: rabbit.remove_vhost(vhost))
    return rabbit.url(vhost), redis.url()
