"""The SQLite broker and backend keep the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.testing import VirtualClock
from celeriac.testing.conformance import BackendConformance, BrokerConformance, MakeBackend, MakeBroker
from celeriac.testing.conformance.support import Harness


class SQLiteStore(Harness):
    """Fixtures: a fresh file for each test, and everything closed at the end."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        return str(tmp_path / "queue.sqlite3")

    @pytest.fixture
    def make_broker(self, path: str, clock: VirtualClock) -> Iterator[MakeBroker]:
        with ExitStack() as stack:

            def make() -> SQLiteBroker:
                broker = SQLiteBroker(path, clock=clock)
                stack.callback(broker.disconnect)
                return broker

            yield make

    @pytest.fixture
    def make_backend(self, path: str, clock: VirtualClock) -> Iterator[MakeBackend]:
        with ExitStack() as stack:

            def make() -> SQLiteBackend:
                backend = SQLiteBackend(path, clock=clock)
                stack.callback(backend.disconnect)
                return backend

            yield make


class TestSQLiteBroker(SQLiteStore, BrokerConformance):
    pass


class TestSQLiteBackend(SQLiteStore, BackendConformance):
    pass
