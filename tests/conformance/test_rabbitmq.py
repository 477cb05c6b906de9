"""The RabbitMQ broker keeps the contract, on quorum queues and on classic ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.testing import VirtualClock
from celeriac.testing.conformance import BrokerConformance, MakeBroker
from celeriac.testing.conformance.exchanges import routed_queues
from celeriac.topology import Topology
from conformance.cutting import cut_connections
from conformance.running_clock import RunningClock
from servers.rabbitmq import RabbitServer


class TestRabbitBroker(BrokerConformance):
    queue_type = "quorum"
    due_by_real_time = True
    clock_tolerance = 1.0

    @pytest.fixture(autouse=True)
    def _server(self, rabbit_server: RabbitServer, rabbit_vhost: str) -> None:
        self._cut = rabbit_server, rabbit_vhost

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return RunningClock()

    @pytest.fixture
    def make_broker(self, rabbit_url: str, clock: VirtualClock) -> Iterator[MakeBroker]:
        location = read_location(rabbit_url, {}, setting="broker_url", settings=Settings())
        queues = routed_queues(x_queue_type=self.queue_type)
        with ExitStack() as stack:

            def make() -> RabbitBroker:
                topology = Topology(queues, missing_type=self.queue_type)
                broker = RabbitBroker(location, topology=topology, clock=clock, delay_queue_type=self.queue_type)
                stack.callback(broker.disconnect)
                return broker

            yield make

    async def end_leases(self, clock: VirtualClock, *owners: str) -> None:
        """The server ends their connections."""
        server, vhost = self._cut
        await asyncio.to_thread(cut_connections, server, vhost, owners)


class TestRabbitBrokerOnClassicQueues(TestRabbitBroker):
    queue_type = "classic"
