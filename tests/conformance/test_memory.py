"""The memory broker and backend keep the contract."""

from __future__ import annotations

import itertools

import pytest

from celeriac.backends.memory import MemoryBackend
from celeriac.brokers.memory import MemoryBroker
from celeriac.testing import VirtualClock
from celeriac.testing.conformance import BackendConformance, BrokerConformance, MakeBackend, MakeBroker

_numbers = itertools.count()


class TestMemoryBroker(BrokerConformance):
    @pytest.fixture
    def name(self) -> str:
        return f"conformance-{next(_numbers)}"

    @pytest.fixture
    def make_broker(self, name: str, clock: VirtualClock) -> MakeBroker:
        return lambda: MemoryBroker(name, clock=clock)

    @pytest.fixture
    def make_backend(self, name: str, clock: VirtualClock) -> MakeBackend:
        return lambda: MemoryBackend(name, clock=clock)


class TestMemoryBackend(BackendConformance):
    @pytest.fixture
    def make_backend(self, clock: VirtualClock) -> MakeBackend:
        name = f"conformance-{next(_numbers)}"
        return lambda: MemoryBackend(name, clock=clock)
