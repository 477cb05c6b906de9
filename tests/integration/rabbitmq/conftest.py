"""Nodes that the tests beside this file may harm, and workers on them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from integration.worker.conftest import Bench, bench_on
from servers.erlang import ErlangError
from servers.process import ServerFailed
from servers.rabbitmq import QueueState, RabbitServer

#: Short, so that a server that stands still is noticed soon by those who publish.
IMPATIENT: Mapping[str, Any] = {"confirm_timeout": 2.0, "connect_timeout": 2.0}


class Place(NamedTuple):
    """A virtual host of a node."""

    server: RabbitServer
    vhost: str

    @property
    def url(self) -> str:
        """For clients."""
        return self.server.url(self.vhost)

    def queues(self) -> dict[str, QueueState]:
        """What its queues hold."""
        return self.server.queues(self.vhost)

    def is_worked_off(self) -> bool:
        """Nothing waits, and nobody holds anything, but for dead letters."""
        states = self.queues().items()
        return not any(state.ready or state.unacknowledged for name, state in states if name != "celeriac.dead")

    def held(self) -> int:
        """Messages that somebody holds."""
        return sum(state.unacknowledged for state in self.queues().values())


@pytest.fixture(scope="session")
def frail_node() -> Iterator[RabbitServer]:
    """A node for those who ask for `frail`."""
    with RabbitServer() as server:
        yield server


@pytest.fixture
def frail(frail_node: RabbitServer) -> Iterator[Place]:
    """A place of this test's own on a node that it may kill, stop and let stand still; it runs again afterwards."""
    place = Place(frail_node, frail_node.add_vhost())
    yield place
    _heal(frail_node)
    frail_node.remove_vhost(place.vhost)


@contextlib.contextmanager
def largest_message(server: RabbitServer, size: int) -> Iterator[None]:
    """Have a node refuse what is larger than `size` bytes, on channels that are opened meanwhile."""
    before = server.eval("{ok, Size} = application:get_env(rabbit, max_message_size), Size")
    server.eval(f"application:set_env(rabbit, max_message_size, {size})")
    try:
        yield
    finally:
        server.eval(f"application:set_env(rabbit, max_message_size, {before})")


@pytest.fixture
def place(rabbit_server: RabbitServer, rabbit_vhost: str) -> Place:
    """A place of this test's own on a node that others use after it."""
    return Place(rabbit_server, rabbit_vhost)


StartBench = Callable[..., Bench]


@pytest.fixture
def bench_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartBench]:
    """Makes the bench of a test: `bench_at(url, task_max_deliveries=2)`. Results are in a file if nothing is said."""
    with contextlib.ExitStack() as stack:

        def make(url: str, **settings: Any) -> Bench:
            transport = {**IMPATIENT, **settings.pop("broker_transport_options", {})}
            given = {"result_backend": f"sqlite:///{tmp_path / 'results.sqlite3'}", **settings}
            monkeypatch.setenv("CELERIAC_TEST_SETTINGS", json.dumps({**given, "broker_transport_options": transport}))
            return stack.enter_context(bench_on(url, tmp_path, monkeypatch))

        yield make


def _heal(server: RabbitServer) -> None:
    try:
        server.resume()
        if server.eval("rabbit:is_running()") != "true":
            server.start_app()
        server.memory_alarm(False)
    except (OSError, ErlangError, ServerFailed):  # it is dead, or in no state to be healed
        server.kill()
        server.restart()
