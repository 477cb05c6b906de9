"""Results by reply queue on a RabbitMQ that works: what is declared and sent, who gets what, and what is kept."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator
from functools import partial

import amqp
import pytest

from celeriac.backends.rpc import RpcBackend
from celeriac.exceptions import BackendError
from celeriac.outcome import ResultRecord
from celeriac.result_meta import encode_meta
from celeriac.testing.conformance.support import Crew, in_loop, state
from servers.amqp_channel import channel
from servers.rabbitmq import RabbitServer
from servers.waiting import wait_until

from .rpc_support import PATIENCE, done, opened, received


@pytest.fixture
def client(rabbit_url: str) -> Iterator[RpcBackend]:
    with opened(rabbit_url) as backend:
        yield backend


@pytest.fixture
def worker(rabbit_url: str) -> Iterator[RpcBackend]:
    with opened(rabbit_url) as backend:
        yield backend


def take(talk: amqp.Channel, queue: str) -> amqp.Message:
    return wait_until(lambda: talk.basic_get(queue, no_ack=True), f"a message in {queue}")


class TestQueue:
    @pytest.mark.parametrize(
        ("expires", "arguments"), [(86400.0, {"x-expires": 86_400_000}), (1.5, {"x-expires": 1500}), (None, {})]
    )
    def test_it_is_the_one_that_celery_declares(
        self, rabbit_url: str, expires: float | None, arguments: dict[str, int]
    ) -> None:
        with opened(rabbit_url, expires=expires) as client, channel(rabbit_url) as talk:
            client.expect(["a"])
            # RabbitMQ refuses what is not the same to the letter.
            talk.queue_declare(client.reply_queue(), durable=True, auto_delete=True, arguments=arguments)

    def test_it_goes_with_its_process(self, rabbit_server: RabbitServer, rabbit_url: str, rabbit_vhost: str) -> None:
        with opened(rabbit_url) as client:
            assert rabbit_server.queues(rabbit_vhost) == {}
            client.expect(["a"])
            state_of_it = rabbit_server.queues(rabbit_vhost)[client.reply_queue()]
            assert (state_of_it.kind, state_of_it.consumers) == ("classic", 1)
            threads = threading.active_count()
        wait_until(lambda: rabbit_server.queues(rabbit_vhost) == {}, "it has gone with its connection")
        assert threading.active_count() < threads

    def test_who_sends_no_task_listens_to_nothing(
        self, rabbit_server: RabbitServer, client: RpcBackend, rabbit_vhost: str
    ) -> None:
        assert client.load("a") is None
        assert client.wait_ready("a", 0.05) is None
        assert rabbit_server.queues(rabbit_vhost) == {}

    def test_each_process_has_its_own(self, client: RpcBackend, worker: RpcBackend) -> None:
        assert client.reply_queue() != worker.reply_queue()

    def test_it_is_there_again_after_a_disconnect(self, client: RpcBackend, worker: RpcBackend) -> None:
        kept = client.expect(["a"])
        client.disconnect()
        crew = Crew()
        crew.start(lambda: _wait(client, "a"))
        wait_until(lambda: client._listener.is_listening, "it listens again")
        worker.store([done("a", client)])
        crew.join()
        assert kept


class TestMessages:
    def test_form(self, rabbit_url: str, worker: RpcBackend) -> None:
        with channel(rabbit_url) as talk:
            talk.queue_declare("replies")
            worker.store([done("a", "replies")])
            message = take(talk, "replies")
        assert message.properties == {
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "delivery_mode": 1,
            "priority": 0,
            "correlation_id": "a",
            "application_headers": {},
        }
        # py-amqp's own message decodes what says that it is text.
        assert str(message.body).encode() == done("a", None).meta

    def test_persistent(self, rabbit_url: str) -> None:
        with opened(rabbit_url, persistent=True) as worker, channel(rabbit_url) as talk:
            talk.queue_declare("replies")
            worker.store([done("a", "replies")])
            assert take(talk, "replies").properties["delivery_mode"] == 2

    def test_compressed(self, client: RpcBackend, worker: RpcBackend) -> None:
        client.expect([])
        meta = encode_meta(task_id="a", status="FAILURE", result=ValueError("x" * 1000), compression="zlib")
        worker.store([ResultRecord("a", "FAILURE", meta, None, client.reply_queue())])
        assert client.wait_ready("a", PATIENCE) == ResultRecord("a", "FAILURE", meta)

    def test_a_result_for_nobody_is_dropped(self, rabbit_url: str, caplog: pytest.LogCaptureFixture) -> None:
        with opened(rabbit_url, grace=0.3) as worker, caplog.at_level(logging.DEBUG, logger="celeriac.backend"):
            worker.store([done("a", None), done("b", "x" * 300)])
            assert caplog.messages == []
            worker.store([done("c", "gone")])
            assert caplog.messages == []
            wait_until(lambda: caplog.messages, "it is told")
        assert caplog.messages == ["The result of c is dropped: nobody has its queue gone"]

    def test_a_queue_that_comes_late(self, client: RpcBackend, worker: RpcBackend) -> None:
        """After an outage the worker may be back before the client."""
        started = state("a", "STARTED")
        worker.store([ResultRecord("a", "STARTED", started.meta, None, client.reply_queue()), done("b", client)])
        kept = client.expect(["a", "b"])
        assert client.wait_ready("b", PATIENCE) == received("b")
        assert client.load("a") is None
        assert kept

    def test_results_that_wait_for_nobody_are_bounded(self, rabbit_url: str, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, logger="celeriac.backend"), opened(rabbit_url) as worker:
            worker.store([done(f"t{n}", "gone") for n in range(1500)])
            assert len(caplog.messages) == 500
        assert len(caplog.messages) == 1500

    def test_what_is_no_result_is_told_to_who_asks(
        self, rabbit_url: str, client: RpcBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.expect([])
        crew = Crew()

        def wait() -> None:
            with pytest.raises(BackendError, match="can not be read"):
                client.wait_ready("a", PATIENCE)

        crew.start(wait)
        with channel(rabbit_url) as talk:
            talk.basic_publish(amqp.Message("{", correlation_id="a"), "", client.reply_queue())
            talk.basic_publish(amqp.Message("{}"), "", client.reply_queue())
        crew.join()
        with pytest.raises(BackendError):
            client.load("a")
        assert "A message came for results that is none" in caplog.text


class TestKeeping:
    def test_states_on_the_way(self, client: RpcBackend, worker: RpcBackend) -> None:
        client.expect([])
        seen = []
        for status in ("STARTED", "RETRY", "SUCCESS", "STARTED"):
            worker.store([ResultRecord("a", status, state("a", status).meta, None, client.reply_queue())])
            found = client.load("a")
            seen.append(found.status if found is not None else None)
        assert seen == ["STARTED", "RETRY", "SUCCESS", "SUCCESS"]

    def test_what_somebody_holds_is_never_dropped(self, rabbit_url: str, worker: RpcBackend) -> None:
        with opened(rabbit_url, cache_limit=10) as client:
            kept = client.expect(["held"])
            worker.store([done("held", client)] + [done(f"t{n}", client) for n in range(20)])
            wait_until(lambda: client.load("t19") is not None, "the last one has come")
            assert client.load("held") == received("held")
            assert [client.load(f"t{n}") is None for n in range(20)] == [True] * 10 + [False] * 10
            del kept
            worker.store([done(f"u{n}", client) for n in range(10)])
            assert client.load("held") is None

    def test_no_limit(self, rabbit_url: str, worker: RpcBackend) -> None:
        with opened(rabbit_url, cache_limit=None) as client:
            client.expect([])
            worker.store([done(f"t{n}", client) for n in range(20_000)])
            assert client.load("t0") == received("t0")

    def test_why_nothing_comes(self, client: RpcBackend) -> None:
        kept = client.expect(["mine"])
        assert client.explain_missing("mine") is None
        assert "only to the process that sent the task" in str(client.explain_missing("another's"))
        assert kept


class TestMany:
    @in_loop
    async def test_thousands_of_coroutines(self, client: RpcBackend, worker: RpcBackend) -> None:
        names = [f"t{n}" for n in range(2000)]
        kept = await client.aexpect(names)
        waiting = [asyncio.create_task(client.await_ready(name, PATIENCE)) for name in names]
        await worker.astore([done(name, client) for name in names])
        assert await asyncio.gather(*waiting) == [received(name) for name in names]
        assert len(kept) == 2000

    def test_hundreds_of_threads_and_a_loop(self, client: RpcBackend, worker: RpcBackend) -> None:
        crew = Crew()
        kept = client.expect([f"t{n}" for n in range(200)])
        for n in range(200):
            crew.start(partial(_wait, client, f"t{n}"))

        async def wait() -> None:
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for n in range(200):
                    group.create_task(client.await_ready(f"t{n}", PATIENCE))

        crew.start(lambda: asyncio.run(wait()))
        worker.store([done(f"t{n}", client) for n in range(200)])
        crew.join()
        assert len(kept) == 200

    def test_many_and_large(self, client: RpcBackend, worker: RpcBackend) -> None:
        kept = client.expect([f"t{n}" for n in range(20)])
        worker.store([done(f"t{n}", client, "x" * 1_000_000) for n in range(20)])
        for n in range(20):
            assert client.wait_ready(f"t{n}", PATIENCE) == received(f"t{n}", "x" * 1_000_000)
        assert len(kept) == 20


class TestForks:
    def test_a_child_is_a_process_of_its_own(self, client: RpcBackend, worker: RpcBackend) -> None:
        kept = client.expect(["before", "later"])
        worker.store([done("before", client)])
        assert client.wait_ready("before", PATIENCE) == received("before")
        child = multiprocessing.get_context("fork").Process(target=_in_child, args=(client, client.reply_queue()))
        child.start()
        child.join(PATIENCE)
        assert child.exitcode == 0
        worker.store([done("later", client)])
        assert client.wait_ready("later", PATIENCE) == received("later")
        assert len(kept) == 2


def _wait(client: RpcBackend, task_id: str) -> None:
    assert client.wait_ready(task_id, PATIENCE) == received(task_id)


def _in_child(client: RpcBackend, parents_queue: str) -> None:
    """What a child sends comes to the child; what the parent had is there, what it waits for is not the child's."""
    good = client.reply_queue() != parents_queue and client.load("before") == received("before")
    good = good and "only to the process" in str(client.explain_missing("later"))
    kept = client.expect(["child's"])
    client.store([done("child's", client)])
    good = good and client.wait_ready("child's", PATIENCE) == received("child's") and len(kept) == 1
    client.disconnect()
    os._exit(0 if good else 1)  # what pytest has open is the parent's
