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
from conformance.cutting import Scissors
from conformance.running_clock import RunningClock
from servers.rabbitmq import RabbitServer


class TestRabbitBroker(BrokerConformance):
    queue_type = "quorum"
    due_by_real_time = True
    clock_tolerance = 1.0

    @pytest.fixture(autouse=True)
    def _scissors_at_hand(self, rabbit_server: RabbitServer, rabbit_vhost: str) -> None:
        self._scissors = Scissors(rabbit_server, rabbit_vhost)

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return RunningClock()

    @pytest.fixture
    def make_broker(self, clock: VirtualClock, _scissors_at_hand: None) -> Iterator[MakeBroker]:
        queues = routed_queues(x_queue_type=self.queue_type)
        with ExitStack() as stack:

            def make() -> RabbitBroker:
                url = self._scissors.new_url()
                location = read_location(url, {}, setting="broker_url", settings=Settings())
                topology = Topology(queues, missing_type=self.queue_type)
                broker = RabbitBroker(location, topology=topology, clock=clock, delay_queue_type=self.queue_type)
                stack.callback(broker.disconnect)
                return broker

            yield make

    async def end_leases(self, clock: VirtualClock, *owners: str) -> None:
        """The server ends their connections and takes no new ones."""
        await asyncio.to_thread(self._scissors.cut, owners)

    async def let_back(self, *owners: str) -> None:
        """The server takes their connections again."""
        await asyncio.to_thread(self._scissors.let_back, owners)


@pytest.mark.long
class TestRabbitBrokerOnClassicQueues(TestRabbitBroker):
    queue_type = "classic"
