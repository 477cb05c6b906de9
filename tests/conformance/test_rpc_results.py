"""The reply backend keeps the contract, as far as a backend can that stores nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import msgspec
import pytest

from celeriac.backends.rpc import RpcBackend
from celeriac.config import Settings
from celeriac.outcome import ResultRecord
from celeriac.storage.rabbitmq.location import RabbitLocation
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.testing.conformance import BackendConformance, MakeBackend


class Fleet:
    """Workers that send the results of tasks which one client has sent, and that client: together they are a store.

    Args:
        location: which RabbitMQ.
        client: who asks.
    """

    def __init__(self, location: RabbitLocation, client: RpcBackend) -> None:
        self.address = location.address
        self._client = client
        self._worker = RpcBackend(location)
        self.chords = client.chords
        self.load, self.aload = client.load, client.aload
        self.load_many, self.aload_many = client.load_many, client.aload_many
        self.wait_ready, self.await_ready = client.wait_ready, client.await_ready
        self.forget, self.aforget = client.forget, client.aforget
        self.forget_many, self.aforget_many = client.forget_many, client.aforget_many
        self.save_group, self.asave_group = client.save_group, client.asave_group
        self.load_group, self.aload_group = client.load_group, client.aload_group
        self.forget_group, self.aforget_group = client.forget_group, client.aforget_group
        self.sweep = client.sweep

    def store(self, records: Sequence[ResultRecord]) -> None:
        self._client.expect([])  # as sending the task does
        self._worker.store(self._addressed(records))

    async def astore(self, records: Sequence[ResultRecord]) -> None:
        await self._client.aexpect([])
        await self._worker.astore(self._addressed(records))

    def disconnect(self) -> None:
        self._worker.disconnect()
        self._client.disconnect()

    def _addressed(self, records: Sequence[ResultRecord]) -> list[ResultRecord]:
        queue = self._client.reply_queue()
        return [msgspec.structs.replace(record, reply_to=queue) for record in records]


class TestRpcBackend(BackendConformance):
    keeps_no_time = "a result that was sent lies with its process, which is not told how long it lasts"
    goes_with_connection = "the queue goes with its last consumer, as Celery declares it"
    keeps_no_groups = "nothing is stored"

    @pytest.fixture
    def make_backend(self, rabbit_url: str) -> Iterator[MakeBackend]:
        location = read_location(rabbit_url, {}, setting="result_backend", settings=Settings())
        client = RpcBackend(location)
        with ExitStack() as stack:

            def make() -> Fleet:
                client.expect([])
                backend = Fleet(location, client)
                stack.callback(backend.disconnect)
                return backend

            yield make
