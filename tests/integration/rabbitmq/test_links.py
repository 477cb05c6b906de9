"""Confirmed publishing: what is answered for, what comes back, and what becomes of connections after faults."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import amqp
import pytest

from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.storage.rabbitmq.links import Links
from servers.amqp_proxy import AmqpPoint, AmqpProxy, method
from servers.rabbitmq import RabbitServer
from servers.tcp_proxy import TcpProxy
from servers.waiting import wait_until

from .links_support import BOUND, MAYBE, TIMEOUT, bodies, depth, linked, location, parcel


def through(url: str, server: RabbitServer, proxy: TcpProxy) -> str:
    return url.replace(f":{server.port}/", f":{proxy.port}/")


# -- what is answered for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_batches_arrive_whole_and_in_order(rabbit_url: str, kind: str) -> None:
    with linked(rabbit_url) as links:
        arguments = {"x-queue-type": kind}
        links.run(lambda channel: channel.queue_declare("k", durable=True, auto_delete=False, arguments=arguments))
        sent = [str(n).encode() * (n % 50) for n in range(1500)]
        assert links.publish([parcel("k", body) for body in sent]) == []
        assert links.publish([]) == []
        assert bodies(links, "k") == sent


@pytest.mark.parametrize("size", [0, 131_064, 131_065, 5_000_000])
def test_bodies_of_any_size(rabbit_url: str, size: int) -> None:
    with linked(rabbit_url) as links:
        body = os.urandom(size)
        links.publish([parcel(body=body), parcel(body=b"next", application_headers={"a": [1, {"b": None}]})])
        assert bodies(links) == [body, b"next"]


def test_mandatory_messages_without_a_queue_come_back(rabbit_url: str) -> None:
    with linked(rabbit_url) as links:
        parcels = [parcel("nowhere", str(n).encode(), mandatory=n % 2 == 0, message_id=f"m{n % 3}") for n in range(60)]
        parcels[30] = parcel(body=b"30", mandatory=True)
        back = links.publish(parcels)
        assert [one.content.body for one in back] == [str(n).encode() for n in range(0, 60, 2) if n != 30]
        assert links.publish([parcel("nowhere")]) == []
        assert links.publish([parcel(mandatory=True)]) == []
        assert depth(links) == 2


def test_a_full_queue_refuses(rabbit_url: str) -> None:
    with linked(rabbit_url) as links:
        full = {"x-max-length": 2, "x-overflow": "reject-publish"}
        links.run(lambda channel: channel.queue_declare("full", durable=True, auto_delete=False, arguments=full))
        with pytest.raises(OperationalError, match=r"refused [1-8] of 10 .*x-max-length"):
            links.publish([parcel("full") for _ in range(10)])
        with pytest.raises(OperationalError, match="refused 1 of 1"):
            links.publish([parcel("full")])
        links.publish([parcel()])
        assert len(links._pool.links()) == 1


def test_an_unknown_exchange_is_named_and_the_next_call_works(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url) as links:
        for others in ([], [parcel(), parcel()]):
            with pytest.raises(OperationalError, match="no exchange 'nope'") as caught:
                links.publish([*others, parcel(exchange="nope"), *others])
            assert MAYBE not in str(caught.value)
            links.publish([parcel("q", b"next")])
        assert b"next" in bodies(links)
        assert len(links._pool.links()) == 1


def test_what_the_server_will_never_take(rabbit_url: str) -> None:
    with linked(rabbit_url) as links:
        with pytest.raises(StoreRefused, match="user_id"):
            links.publish([parcel(user_id="somebody")])
        with pytest.raises(StoreRefused, match="frame_max"):
            links.publish([parcel(), parcel(application_headers={"a": "x" * 200_000})])
        links.publish([parcel("q", b"next")])
        assert bodies(links)[-1] == b"next"


def test_a_user_who_may_not(rabbit_server: RabbitServer, rabbit_vhost: str) -> None:
    rabbit_server.add_user("reader", "pw")
    rabbit_server.permit("reader", rabbit_vhost, write="^$")
    with linked(rabbit_server.url(rabbit_vhost, user="reader", password="pw")) as links:
        with pytest.raises(OperationalError, match="set_permissions"):
            links.publish([parcel()])
        assert depth(links) == 0


# -- dialogues ---------------------------------------------------------------------------------------------------------


def test_a_dialogue_that_fails_harms_no_other(rabbit_url: str) -> None:
    with linked(rabbit_url) as links:
        for _ in range(3):
            with pytest.raises(OperationalError, match="no queue 'nope'"):
                depth(links, "nope")
            with pytest.raises(OperationalError, match="other arguments"):
                links.run(lambda channel: channel.queue_declare("q", durable=False, auto_delete=False))
            links.publish([parcel()])
        assert depth(links) == 3
        assert len(links._pool.links()) == 1

        def fails(channel: amqp.Channel) -> None:
            channel.basic_get("q")
            raise KeyError("of the caller's")

        with pytest.raises(KeyError):
            links.run(fails)
        wait_until(lambda: depth(links) == 3, "the message that was taken is back")


def test_threads_share_few_connections(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url, broker_pool_limit=2) as links, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: links.publish([parcel(body=str(n).encode())]), range(200)))
        assert len(links._pool.links()) <= 2
        assert sorted(map(int, bodies(links))) == list(range(200))


def test_a_place_in_the_pool_is_waited_for(rabbit_url: str) -> None:
    with linked(rabbit_url, broker_pool_limit=1, broker_pool_acquire_timeout=0.1) as links:

        def busy(_: amqp.Channel) -> None:
            with pytest.raises(OperationalError, match="broker_pool_limit"):
                links.publish([parcel()])

        links.run(busy)
        links.publish([parcel()])


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [AmqpPoint.CUT_BEFORE, AmqpPoint.CUT_AFTER])
def test_a_connection_lost_in_the_middle_leaves_doubt(
    rabbit_server: RabbitServer, rabbit_url: str, point: AmqpPoint
) -> None:
    with AmqpProxy(rabbit_server.port) as proxy, linked(through(rabbit_url, rabbit_server, proxy)) as links:
        proxy.at(method("basic.publish", b"second"), point)
        with pytest.raises(OperationalError, match=MAYBE):
            links.publish([parcel(body=b"first"), parcel(body=b"second")])
        links.publish([parcel(body=b"third")])
        stored = [b"first", b"second", b"third"] if point is AmqpPoint.CUT_AFTER else [b"first", b"third"]
        # The cut-off message comes over a connection of its own, so at its own time.
        wait_until(lambda: depth(links) >= len(stored), "all that was sent is there")
        assert sorted(bodies(links)) == stored


def test_a_confirm_that_does_not_come_is_waited_for_in_vain(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with (
        AmqpProxy(rabbit_server.port) as proxy,
        linked(through(rabbit_url, rabbit_server, proxy), timeout=TIMEOUT) as links,
    ):
        links.publish([parcel()])
        proxy.hold("replies")
        began = time.monotonic()
        with pytest.raises(OperationalError, match=r"not confirmed 2 message.*confirm_timeout") as caught:
            links.publish([parcel(), parcel()])
        assert MAYBE in str(caught.value)
        assert time.monotonic() - began < BOUND
        proxy.release()
        wait_until(lambda: depth(links) == 3, "both are stored")


def test_a_server_that_stands_still_takes_no_large_message(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url, timeout=TIMEOUT) as links:
        rabbit_server.pause()
        try:
            began = time.monotonic()
            with pytest.raises(OperationalError):
                links.publish([parcel(body=bytes(30_000_000))])
            assert time.monotonic() - began < BOUND
        finally:
            rabbit_server.resume()
        links.publish([parcel(body=b"next")])
        assert bodies(links) == [b"next"]


def test_a_server_low_on_memory(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url, timeout=TIMEOUT) as links:
        links.publish([parcel()])
        rabbit_server.memory_alarm(True)
        try:
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(OperationalError, match=r"low on memory.*memory or disk"):
                    links.publish([parcel()])
                assert time.monotonic() - began < BOUND
            assert depth(links) == 1  # whoever does not publish is served
        finally:
            rabbit_server.memory_alarm(False)
        links.publish([parcel(body=b"next")])
        assert b"next" in bodies(links)


def test_the_end_of_an_alarm_is_waited_for(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url) as links:
        rabbit_server.memory_alarm(True)
        with ThreadPoolExecutor(1) as thread:
            try:
                done = thread.submit(links.publish, [parcel(body=bytes(100)) for _ in range(5000)])
                wait_until(lambda: any(link.connection.blocked for link in links._pool.links()), "it is blocked")
            finally:
                rabbit_server.memory_alarm(False)
            assert done.result() == []
        assert depth(links) == 5000


class Interrupted(Exception):
    """Raised by a signal, as a soft time limit is."""


# A socket that is made when the signal comes has nobody yet who could close it; Python does, with this warning.
@pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning")
def test_signals_leave_no_connection_in_disorder(rabbit_url: str) -> None:
    """The exception of a soft time limit can come between any two lines."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    gc.collect()  # what other tests have left would be finalised in the loop, where an exception can only be shown
    with linked(rabbit_url) as links:
        before = signal.signal(signal.SIGALRM, interrupt)
        interrupted = 0
        try:
            for n in range(300):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.00002 * (n % 100) + 0.00001)
                    links.publish([parcel("other", bytes(n * 100))])
                    depth(links)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Interrupted:
                    interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert interrupted > 50
        assert len(links._pool.links()) <= 10
        for n in range(10):
            links.publish([parcel(body=str(n).encode())])
        assert bodies(links) == [str(n).encode() for n in range(10)]
        gc.collect()


def test_a_connection_that_is_lost_is_closed_and_leaves_its_place(
    rabbit_server: RabbitServer, rabbit_vhost: str, rabbit_url: str
) -> None:
    with linked(rabbit_url, broker_pool_limit=1) as links:
        links._pool.borrow()  # and forgotten, as by an exception behind it
        links.publish([parcel()])
        assert len(links._pool.links()) == 1
        wait_until(lambda: rabbit_server.connections(rabbit_vhost) == 1, "the server knows of its end")
    gc.collect()


def test_a_forked_child_has_connections_of_its_own(rabbit_url: str) -> None:
    with linked(rabbit_url) as links:
        links.publish([parcel(body=b"parent")])
        child = os.fork()
        if child == 0:
            try:
                links.publish([parcel(body=b"child")])
                links.close()
                gc.collect()
                os._exit(0)
            except BaseException:  # noqa: BLE001 - it must not go on as a second test run
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        links.publish([parcel(body=b"parent again")])
        assert len(links._pool.links()) == 1
        assert bodies(links) == [b"parent", b"child", b"parent again"]


def test_closing_while_others_publish(rabbit_url: str) -> None:
    with linked(rabbit_url) as links:
        stop = threading.Event()

        def publish(links: Links) -> int:
            count = 0
            while not stop.is_set():
                links.publish([parcel()])
                count += 1
            return count

        with ThreadPoolExecutor(4) as threads:
            counts = [threads.submit(publish, links) for _ in range(4)]
            for _ in range(20):
                links.close()
            stop.set()
            total = sum(count.result() for count in counts)
        assert depth(links) == total


def test_locations_are_not_opened_by_links() -> None:
    links = Links(location("amqp://127.0.0.1:1//"))
    links.close()
    with pytest.raises(OperationalError, match="can not reach"):
        links.publish([parcel()])
