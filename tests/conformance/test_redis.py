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
from celeriac.testing.conformance.support import LEASE, finish, in_loop, job, names, opened, take
from conformance.redis_time import ServerClock
from servers.redis import RedisServer


class TestRedisBroker(BrokerConformance):
    prefix = ""
    #: Redis counts by its own clock, which does not stand still between two lines of a test.
    ttl_tolerance = 0.5

    @pytest.fixture
    def clock(self, redis_server: RedisServer) -> ServerClock:
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

    # Redis has no clock that starts anew with its machine, only one that can be set back, and a lease that ends too far
    # ahead may be that of a living worker.
    @in_loop
    async def test_after_a_reboot_every_lease_has_run_out(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        async with opened(make_broker(), "a") as before:
            before.publish([job(1)])
            await take(before)
            clock.reboot()
            async with opened(make_broker(), "b", 1000) as after:
                assert await after.recover(10) == []
                clock.advance(LEASE)
                assert names(await after.recover(10)) == ["1"]

    @in_loop
    async def test_who_lives_keeps_what_it_holds_when_the_clock_is_set_back(
        self, make_broker: MakeBroker, clock: ServerClock
    ) -> None:
        """By less than a lease, so that not even the one that looks finds its own lease odd."""
        async with opened(make_broker(), "a") as first, opened(make_broker(), "b") as second:
            first.publish([job(1)])
            held = await take(first)
            assert await second.renew()
            clock.advance(0.5)
            assert await first.renew()
            clock.set_back(0.3)
            assert await second.recover(10) == []
            assert await finish(first, held) == []
