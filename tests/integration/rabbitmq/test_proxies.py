"""The proxies before a RabbitMQ node do what the tests rely on."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Iterator

import amqp
import pytest

from servers.amqp_channel import channel, connection_of
from servers.amqp_proxy import AmqpPoint, AmqpProxy, method
from servers.process import DEADLINE
from servers.rabbitmq import RabbitServer
from servers.tcp_proxy import TcpProxy
from servers.waiting import wait_until


@pytest.fixture
def proxy(rabbit_server: RabbitServer) -> Iterator[TcpProxy]:
    with TcpProxy(rabbit_server.port) as running:
        yield running


@pytest.fixture
def amqp_proxy(rabbit_server: RabbitServer) -> Iterator[AmqpProxy]:
    with AmqpProxy(rabbit_server.port) as running:
        yield running


@pytest.fixture
def through(rabbit_url: str, rabbit_server: RabbitServer, proxy: TcpProxy) -> str:
    return rabbit_url.replace(f":{rabbit_server.port}/", f":{proxy.port}/")


@pytest.fixture
def through_amqp(rabbit_url: str, rabbit_server: RabbitServer, amqp_proxy: AmqpProxy) -> str:
    return rabbit_url.replace(f":{rabbit_server.port}/", f":{amqp_proxy.port}/")


def publish(talk: amqp.Channel, body: str = "body") -> None:
    talk.basic_publish(amqp.Message(body), routing_key="queue")


def test_a_cut_connection_fails_and_the_next_works(through: str, proxy: TcpProxy) -> None:
    with channel(through) as talk:
        talk.queue_declare("queue")
        assert proxy.cut() == 1
        with pytest.raises(OSError, match=r"reset|closed|Broken pipe"):
            talk.queue_declare("queue")
    with channel(through) as talk:
        talk.queue_declare("other")


def test_a_held_connection_waits(through: str, proxy: TcpProxy) -> None:
    with channel(through) as talk:
        proxy.hold("replies")
        connection_of(talk).sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            talk.queue_declare("queue")
        proxy.release()
        connection_of(talk).sock.settimeout(DEADLINE)
        connection_of(talk).drain_events(timeout=DEADLINE)


def test_a_slow_connection_is_slow(through: str, proxy: TcpProxy) -> None:
    with channel(through) as talk:
        proxy.slow(0.1)
        begin = time.monotonic()
        talk.queue_declare("queue")
        assert time.monotonic() - begin >= 0.2
        proxy.slow(0)


@pytest.mark.parametrize("way", ["requests", "replies"])
def test_a_connection_is_cut_within_a_frame(through: str, proxy: TcpProxy, way: str) -> None:
    with channel(through) as talk:
        cut = proxy.cut_after(5, "requests" if way == "requests" else "replies")
        with pytest.raises(OSError, match=r"reset|closed|Broken pipe"):
            talk.queue_declare("queue")
    cut.wait()


def test_a_forsaken_client_hears_nothing(
    through: str, proxy: TcpProxy, rabbit_server: RabbitServer, rabbit_vhost: str
) -> None:
    with channel(through, confirms=False) as talk:
        assert rabbit_server.connections(rabbit_vhost) == 1
        assert proxy.forsake("client") == 1
        wait_until(lambda: rabbit_server.connections(rabbit_vhost) == 0, "the node has lost the connection")
        publish(talk)
        assert not select.select([connection_of(talk).sock], [], [], 0.2)[0]
        proxy.cut()


def test_a_forsaken_node_keeps_the_connection(
    through: str, proxy: TcpProxy, rabbit_server: RabbitServer, rabbit_vhost: str
) -> None:
    with channel(through) as talk:
        assert proxy.forsake("server") == 1
        with pytest.raises(OSError, match=r"reset|closed|Broken pipe"):
            talk.queue_declare("queue")
    assert rabbit_server.connections(rabbit_vhost) == 1
    proxy.cut()
    wait_until(lambda: rabbit_server.connections(rabbit_vhost) == 0, "the node has lost the connection")


def test_nobody_can_connect_while_connections_are_refused(through: str, proxy: TcpProxy) -> None:
    with channel(through) as talk:
        proxy.refuse()
        with socket.socket() as caller:
            assert caller.connect_ex(("127.0.0.1", proxy.port)) == errno.ECONNREFUSED
        talk.queue_declare("queue")
        proxy.admit()
        with channel(through) as other:
            other.queue_declare("other")


def test_methods_are_counted_by_way_and_name(through_amqp: str, amqp_proxy: AmqpProxy) -> None:
    with channel(through_amqp) as talk:
        talk.queue_declare("queue", auto_delete=False)
        publish(talk, "x" * 300_000)  # several frames
        publish(talk, "")
        message = talk.basic_get("queue", no_ack=True)
        assert message is not None
        assert len(message.body) == 300_000
    counts = amqp_proxy.counts
    assert counts["requests", "queue.declare"] == counts["replies", "queue.declare-ok"] == 1
    assert counts["requests", "basic.publish"] == counts["replies", "basic.ack"] == 2
    assert counts["replies", "basic.get-ok"] == 1
    assert not {name for _, name in counts if name.endswith(("unknown", "header", "body"))}


@pytest.mark.parametrize(
    ("name", "way", "point", "arrived"),
    [
        ("basic.publish", "requests", AmqpPoint.CUT_BEFORE, 0),
        ("basic.publish", "requests", AmqpPoint.CUT_AFTER, 1),
        ("basic.ack", "replies", AmqpPoint.CUT_BEFORE, 1),
    ],
)
def test_a_connection_is_cut_at_a_method(
    through_amqp: str,
    amqp_proxy: AmqpProxy,
    rabbit_server: RabbitServer,
    rabbit_vhost: str,
    name: str,
    way: str,
    point: AmqpPoint,
    arrived: int,
) -> None:
    with channel(through_amqp) as talk:
        talk.queue_declare("queue", auto_delete=False)
        publish(talk, "before")
        cut = amqp_proxy.at(method(name, way="requests" if way == "requests" else "replies"), point)
        with pytest.raises(OSError, match=r"reset|closed|Broken pipe"):
            publish(talk, "lost")
        cut.wait()
    wait_until(lambda: rabbit_server.queues(rabbit_vhost)["queue"].ready == 1 + arrived, "the message is there, or not")


def test_all_waits_behind_a_method_that_is_held(through_amqp: str, amqp_proxy: AmqpProxy) -> None:
    with channel(through_amqp, confirms=False) as talk:
        talk.queue_declare("queue", auto_delete=False)
        held = amqp_proxy.at(method("basic.publish", b"this one"), AmqpPoint.HOLD)
        publish(talk, "that one")
        publish(talk, "this one")
        held.wait()
        connection_of(talk).sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            talk.queue_declare("queue", passive=True)
        amqp_proxy.release()
        connection_of(talk).sock.settimeout(DEADLINE)
        connection_of(talk).drain_events(timeout=DEADLINE)
