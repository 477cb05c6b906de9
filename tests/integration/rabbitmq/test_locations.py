"""Connecting: who is let in, what is said to those who are not, and which of several servers it is."""

from __future__ import annotations

import contextlib
import gc
import socket
import time
from collections.abc import Iterator

import amqp
import pytest

from celeriac.exceptions import OperationalError
from celeriac.storage.rabbitmq.location import RabbitLocation
from servers.process import free_port
from servers.rabbitmq import RabbitServer
from servers.tcp_proxy import TcpProxy

from .links_support import BOUND, TIMEOUT, location

SECRET = "p/a:s@s#w?o rd"


def name_of_connection(server: RabbitServer, place: RabbitLocation, name: str) -> str:
    """What the server knows of a connection by this name."""
    connection = place.connect(name=name)
    try:
        known = "rabbit_networking:connection_info(C, [client_properties])"
        return server.eval(f"[P || C <- rabbit_networking:connections(), {{_, P}} <- {known}]")
    finally:
        connection.close_quietly()


def refusal(place: RabbitLocation) -> str:
    with pytest.raises(OperationalError) as caught:
        place.connect()
    assert all(server.address in str(caught.value) for server in place.rotation.servers)
    assert SECRET not in repr(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("method", ["PLAIN", "AMQPLAIN", None])
def test_a_user_with_a_difficult_password(rabbit_server: RabbitServer, method: str | None) -> None:
    vhost = rabbit_server.add_vhost(f"a/b {method}")
    rabbit_server.add_user(f"m@{method}", SECRET)
    rabbit_server.permit(f"m@{method}", vhost)
    url = rabbit_server.url(vhost, user=f"m@{method}", password=SECRET)
    connection = location(url, broker_login_method=method).connect(heartbeat=6.5)
    assert connection.heartbeat == 7
    assert connection.server_properties["product"] == "RabbitMQ"
    connection.close_quietly()
    rabbit_server.remove_vhost(vhost)


def test_connections_bear_names(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    place = location(rabbit_url, {"client_properties": {"team": "blue"}})
    told = name_of_connection(rabbit_server, place, "worker one")
    for word in ("worker one", "Celeriac", "team", "blue"):
        assert word in told


def test_refusals_name_the_cure(rabbit_server: RabbitServer, rabbit_vhost: str) -> None:
    wrong = location(rabbit_server.url(rabbit_vhost, password=SECRET))
    assert "correct user and password in the URL" in refusal(wrong)
    rabbit_server.add_user("stranger", SECRET)
    assert "set_permissions" in refusal(location(rabbit_server.url(rabbit_vhost, user="stranger", password=SECRET)))
    assert "add_vhost" in refusal(location(rabbit_server.url("nowhere")))
    assert "broker_login_method" in refusal(location(rabbit_server.url(), broker_login_method="EXTERNAL"))
    assert "start the server" in refusal(location(f"amqp://me:x@127.0.0.1:{free_port()}//"))
    assert "correct the host" in refusal(location("amqp://me:x@no-such-host.invalid//"))


def test_a_server_that_does_not_speak_amqp(redis_url: str) -> None:
    port = redis_url.rpartition(":")[2].partition("/")[0]
    refusal(location(f"amqp://127.0.0.1:{port}//", broker_connection_timeout=TIMEOUT))


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """A port that accepts connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_server_that_keeps_silent_is_left_in_time(scheme: str) -> None:
    with deaf() as one, deaf() as two:
        url = f"{scheme}://127.0.0.1:{one}//;{scheme}://127.0.0.1:{two}//"
        began = time.monotonic()
        said = refusal(location(url, broker_connection_timeout=TIMEOUT))
        assert time.monotonic() - began < 2 * TIMEOUT
    assert str(one) in said
    assert str(two) in said
    gc.collect()  # a socket that is left open warns


def test_the_first_server_that_answers_is_taken_and_taken_again(rabbit_server: RabbitServer, rabbit_vhost: str) -> None:
    with deaf() as silent, TcpProxy(rabbit_server.port) as proxy:
        here = rabbit_server.url(rabbit_vhost)
        there = here.replace(f":{rabbit_server.port}/", f":{proxy.port}/")
        place = location(f"amqp://127.0.0.1:{silent}/x;{there};{here}", broker_connection_timeout=3 * TIMEOUT)
        for _ in range(2):
            connection = place.connect()
            assert connection.server.port == proxy.port
            connection.close_quietly()
        proxy.refuse()
        began = time.monotonic()
        connection = place.connect()
        assert connection.server.port == rabbit_server.port
        assert time.monotonic() - began < TIMEOUT
        connection.close_quietly()


def test_a_refused_login_at_one_server_does_not_hide_another(rabbit_server: RabbitServer, rabbit_vhost: str) -> None:
    wrong, right = rabbit_server.url(rabbit_vhost, password="wrong"), rabbit_server.url(rabbit_vhost)
    connection = location(f"{wrong};{right}").connect()
    connection.close_quietly()


def test_nothing_connects_again_by_itself(rabbit_url: str) -> None:
    """py-amqp would, when a closed connection is used; its owner would not know."""
    connection = location(rabbit_url).connect()
    channel = connection.channel()
    connection.close_quietly()
    uses = [lambda: connection.drain_events(timeout=0), lambda: channel.basic_ack(1), connection.send_heartbeat]
    for use in uses:
        with pytest.raises((amqp.exceptions.ConnectionError, ConnectionResetError)):
            use()
    assert not connection.connected


def test_waits_without_a_timeout_end(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    connection = location(rabbit_url, {"read_timeout": TIMEOUT}).connect()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        connection.drain_events()
    assert time.monotonic() - began < BOUND
    channel = connection.channel()
    assert channel.queue_declare("still there").message_count == 0
    connection.close_quietly()
