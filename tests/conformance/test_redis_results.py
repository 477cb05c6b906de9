"""The Redis result backend keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from celeriac.backends.redis import RedisBackend
from celeriac.config import Settings
from celeriac.storage.redis.reading import read_location
from celeriac.testing import VirtualClock
from celeriac.testing.conformance import BackendConformance, MakeBackend
from conformance.redis_time import ServerClock
from servers.redis import RedisServer


class TestRedisBackend(BackendConformance):
    compressed = False
    #: Redis counts by its own clock, which does not stand still between two lines of a test.
    ttl_tolerance = 0.5
    expires_by_itself = "Redis deletes keys when their time is up"

    @pytest.fixture
    def clock(self, redis_server: RedisServer) -> VirtualClock:
        return ServerClock(redis_server)

    @pytest.fixture
    def make_backend(self, redis_url: str, clock: VirtualClock) -> Iterator[MakeBackend]:
        location = read_location(redis_url, {}, setting="result_backend", settings=Settings())
        with ExitStack() as stack:

            def make() -> RedisBackend:
                backend = RedisBackend(location, clock=clock, compressed=self.compressed)
                stack.callback(backend.disconnect)
                return backend

            yield make


class TestRedisBackendThatCompresses(TestRedisBackend):
    """Scripts can not tell what is stored: every look at it is the client's."""

    compressed = True
