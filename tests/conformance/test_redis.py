"""The Redis broker keeps the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from celeriac.backends.redis import RedisBackend
from celeriac.brokers.redis import RedisBroker
from celeriac.config import Settings
from celeriac.storage.redis.location import Location
from celeriac.storage.redis.reading import read_location
from celeriac.testing import VirtualClock
from celeriac.testing.conformance import BrokerConformance, MakeBackend, MakeBroker
from conformance.redis_time import ServerClock
from servers.redis import RedisServer


class TestRedisBroker(BrokerConformance):
    prefix = ""
    #: Redis counts by its own clock, which does not stand still between two lines of a test.
    ttl_tolerance = 0.5

    @pytest.fixture
    def clock(self, redis_server: RedisServer) -> VirtualClock:
        return ServerClock(redis_server)

    @pytest.fixture
    def location(self, redis_url: str) -> Location:
        options = {"global_keyprefix": self.prefix} if self.prefix else {}
        return read_location(redis_url, options, setting="broker_url", settings=Settings())

    @pytest.fixture
    def make_broker(self, location: Location, clock: VirtualClock) -> Iterator[MakeBroker]:
        with ExitStack() as stack:

            def make() -> RedisBroker:
                broker = RedisBroker(location, clock=clock)
                stack.callback(broker.disconnect)
                return broker

            yield make

    @pytest.fixture
    def make_backend(self, location: Location, clock: VirtualClock) -> Iterator[MakeBackend]:
        with ExitStack() as stack:

            def make() -> RedisBackend:
                backend = RedisBackend(location, clock=clock)
                stack.callback(backend.disconnect)
                return backend

            yield make
