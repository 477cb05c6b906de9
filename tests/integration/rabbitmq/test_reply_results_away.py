"""Results by reply queue when RabbitMQ goes away, hangs, or cuts the line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import pytest

from celeriac.backends.rpc import RpcBackend
from celeriac.exceptions import OperationalError
from celeriac.testing.conformance.support import Crew, in_loop
from servers.process import free_port
from servers.rabbitmq import RabbitServer
from servers.waiting import wait_until

from .conftest import Place
from .rpc_support import PATIENCE, done, opened, received


@pytest.fixture
def node(frail: Place) -> RabbitServer:
    """A node that tests here may disturb."""
    return frail.server


SHORT = {"connect_timeout": 1.0, "confirm_timeout": 1.0}


def is_heard(server: RabbitServer, client: RpcBackend) -> bool:
    state = server.queues().get(client.reply_queue())
    return state is not None and state.consumers == 1


def wait_in_thread(client: RpcBackend, *task_ids: str) -> Crew:
    crew = Crew()

    def wait(task_id: str) -> None:
        assert client.wait_ready(task_id, PATIENCE) == received(task_id)

    for task_id in task_ids:
        crew.start(partial(wait, task_id))
    wait_until(lambda: client._places.count_waiting() == len(task_ids), "they wait")
    return crew


def test_a_lost_connection_is_made_again(node: RabbitServer, caplog: pytest.LogCaptureFixture) -> None:
    with opened(node.url()) as client, opened(node.url()) as worker:
        kept = client.expect(["a", "b"])
        crew = wait_in_thread(client, "a")
        assert node.close_all_connections() >= 1
        wait_until(lambda: "was lost with its connection" in caplog.text, "the loss is told")
        wait_until(lambda: is_heard(node, client), "it listens again")
        worker.store([done("a", client)])
        crew.join()
        assert "lost with its connection to RabbitMQ after the task was sent" in str(client.explain_missing("b"))
        assert "1 are waited for" in caplog.text
        again = client.expect(["c"])
        assert client.explain_missing("c") is None
        assert len(kept) + len(again) == 3


def test_threads_and_coroutines_wait_through_a_restart(node: RabbitServer) -> None:
    with opened(node.url(), transport=SHORT) as client, opened(node.url(), transport=SHORT) as worker:
        kept = client.expect(["a", "b"])
        crew = wait_in_thread(client, "a")
        crew.start(lambda: asyncio.run(_await(client, "b")))
        node.kill()
        node.restart()
        wait_until(lambda: is_heard(node, client), "it listens again")
        worker.store([done("a", client), done("b", client)])
        crew.join()
        assert len(kept) == 2


def test_waiting_ends_when_it_is_away_for_too_long(node: RabbitServer) -> None:
    with opened(node.url(), transport=SHORT, patience=0.5) as client:
        kept = client.expect(["a", "b"])
        crew = Crew()
        crew.start(lambda: _fail(client, "a"))
        crew.start(lambda: asyncio.run(_afail(client, "b")))
        wait_until(lambda: client._places.count_waiting() == 2, "they wait")
        node.stop_app()
        crew.join()
        began = time.monotonic()
        with pytest.raises(OperationalError):
            client.wait_ready("a", PATIENCE)
        with pytest.raises(OperationalError):
            client.load("a")
        with pytest.raises(OperationalError):
            client.expect(["c"])
        with pytest.raises(OperationalError):
            client.store([done("a", client)])
        assert time.monotonic() - began < 10
        node.start_app()
        wait_until(lambda: is_heard(node, client), "it listens again")
        client.store([done("a", client)])
        assert client.wait_ready("a", PATIENCE) == received("a")
        assert len(kept) == 2


def test_a_short_wait_that_was_all_outage_is_an_error(node: RabbitServer) -> None:
    with opened(node.url(), transport=SHORT) as client:
        kept = client.expect(["a"])
        node.stop_app()
        wait_until(lambda: not client._listener.is_listening, "the loss is noticed")
        with pytest.raises(OperationalError, match="results can not be received"):
            client.wait_ready("a", 0.2)
        node.start_app()
        assert kept


def test_nobody_there_from_the_beginning() -> None:
    with opened(f"amqp://127.0.0.1:{free_port()}//", transport=SHORT) as client:
        with pytest.raises(OperationalError, match="can not reach"):
            client.expect(["a"])
        with pytest.raises(OperationalError, match="can not reach"):
            asyncio.run(_expect(client, "a"))
        with pytest.raises(OperationalError, match="results can not be received"):
            client.wait_ready("a", 0.05)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda client, _: client.load("a"), id="load"),
        pytest.param(lambda client, _: client.store([done("a", client)]), id="store"),
        pytest.param(lambda _, late: late.expect(["a"]), id="expect"),
    ],
)
def test_a_server_that_hangs(node: RabbitServer, call: Callable[[RpcBackend, RpcBackend], object]) -> None:
    with opened(node.url(), transport=SHORT) as client, opened(node.url(), transport=SHORT) as late:
        kept = client.expect(["a"])
        node.pause()
        try:
            began = time.monotonic()
            with pytest.raises(OperationalError):
                call(client, late)
            assert time.monotonic() - began < 10
        finally:
            node.resume()
        wait_until(lambda: is_heard(node, client), "it listens")
        client.store([done("b", client)])
        assert client.wait_ready("b", PATIENCE) == received("b")
        assert kept


@in_loop
async def test_two_thousand_wait_through_a_lost_connection(node: RabbitServer) -> None:
    with opened(node.url()) as client, opened(node.url()) as worker:
        names = [f"t{n}" for n in range(2000)]
        kept = await client.aexpect(names)
        waiting = [asyncio.create_task(client.await_ready(name, PATIENCE)) for name in names]
        await worker.astore([done(name, client) for name in names[:1000]])
        await asyncio.gather(*waiting[:1000])
        await asyncio.to_thread(node.close_all_connections)
        await asyncio.to_thread(wait_until, lambda: client._listener.life == 2, "the loss is noticed")
        await worker.astore([done(name, client) for name in names[1000:]])
        assert await asyncio.gather(*waiting) == [received(name) for name in names]
        assert len(kept) == 2000


async def _await(client: RpcBackend, task_id: str) -> None:
    assert await client.await_ready(task_id, PATIENCE) == received(task_id)


async def _expect(client: RpcBackend, task_id: str) -> None:
    await client.aexpect([task_id])


def _fail(client: RpcBackend, task_id: str) -> None:
    with pytest.raises(OperationalError, match="results can not be received"):
        client.wait_ready(task_id, PATIENCE)


async def _afail(client: RpcBackend, task_id: str) -> None:
    with pytest.raises(OperationalError, match="results can not be received"):
        await client.await_ready(task_id, PATIENCE)
