"""Connections to one real server: what they are like, and what is said when there is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.exceptions import OperationalError
from celeriac.storage.redis.dialling import talk
from celeriac.storage.redis.links import Links
from celeriac.storage.redis.location import Location
from servers.process import free_port
from servers.redis import RedisServer
from servers.waiting import wait_until

from .places import asay, broker_location, results_location, say


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A server with a password full of characters that URLs must quote, and a socket file."""
    with RedisServer(password="p@/w:q?%;&", unix_socket=True) as server:
        yield server


def fields_of(location: Location) -> dict[str, str]:
    """What CLIENT INFO says of a blocking connection."""
    connection = location.connect()
    try:
        line: bytes = talk(connection, ("CLIENT", "INFO"))
    finally:
        connection.disconnect()
    parts = [field.partition("=") for field in line.decode().split()]
    return {name: value for name, _, value in parts}


def test_a_connection_is_logged_in_and_at_its_database(guarded: RedisServer) -> None:
    fields = fields_of(broker_location(guarded.url(3), {"client_name": "tests"}))
    assert (fields["db"], fields["name"], fields["resp"]) == ("3", "tests", "2")
    assert fields.get("lib-name", "") == ""


def test_timeouts_hold_for_the_answers_of_a_connection(guarded: RedisServer) -> None:
    location = broker_location(guarded.url(), {"socket_timeout": 7.0, "socket_connect_timeout": 2.0})
    connection: Any = location.connect()
    try:
        assert connection.socket_timeout == 7.0
        assert connection._sock.gettimeout() == 7.0
    finally:
        connection.disconnect()

    async def timeout() -> float | None:
        connection = await location.aconnect()
        await connection.disconnect()
        return connection.socket_timeout

    assert asyncio.run(timeout()) == 7.0


def test_a_socket_file(guarded: RedisServer) -> None:
    password = guarded.url().partition("://")[2].partition("@")[0]
    location = broker_location(f"redis+socket://{password}@{guarded.socket_path}?virtual_host=2")
    assert "p%40" not in location.address
    say(location, "SET", "key", "value")
    assert guarded.call("GET", "key", db=2) == b"value"
    assert say(broker_location(f"unix://{password}@{guarded.socket_path}?db=2"), "GET", "key") == b"value"


def test_valkeys_scheme(redis_url: str) -> None:
    assert say(broker_location(redis_url.replace("redis://", "valkey://")), "PING") == b"PONG"


def test_an_idle_connection_is_checked_when_asked_for(redis_server: RedisServer, redis_url: str) -> None:
    for interval, expected in ((0, False), (0.000001, True)):
        links = Links(results_location(redis_url, redis_backend_health_check_interval=interval))
        try:
            links.call("ECHO", "first")
            redis_server.call("CONFIG", "RESETSTAT")
            links.call("ECHO", "second")
        finally:
            links.close()
        assert (b"cmdstat_ping" in redis_server.call("INFO", "commandstats")) is expected


def test_a_pool_is_bounded_and_waiting_for_it_too(redis_server: RedisServer, redis_url: str) -> None:
    location = broker_location(redis_url, broker_pool_limit=1, broker_pool_acquire_timeout=0.1)
    links = Links(location)
    with ThreadPoolExecutor(1) as threads:
        try:
            busy = threads.submit(links.call, "BLPOP", "nothing", 1)
            wait_until(lambda: b"cmd=blpop" in redis_server.call("CLIENT", "LIST"), "the only connection is in use")
            with pytest.raises(OperationalError, match="broker_pool_limit"):
                links.call("PING")
            assert busy.result(10) is None
        finally:
            links.close()


def test_nobody_there(guarded: RedisServer) -> None:
    location = broker_location(f"redis://me:hunter2@127.0.0.1:{free_port()}/0")
    for error in failures_of(location):
        assert "can not reach redis://me@127.0.0.1" in str(error)
        assert "hunter2" not in repr(error)
        assert "hunter2" not in repr(error.__cause__)


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:hunter2@"])
def test_a_wrong_login(guarded: RedisServer, login: str) -> None:
    for error in failures_of(broker_location(f"redis://{login}127.0.0.1:{guarded.port}/1")):
        assert "refuses the login" in str(error)
        assert "hunter2" not in repr(error)


def test_no_such_database(guarded: RedisServer) -> None:
    for error in failures_of(broker_location(guarded.url(99))):
        assert "DB index is out of range" in str(error)


def test_a_server_that_stands_still_is_given_up_in_time(own_redis: RedisServer) -> None:
    location = broker_location(own_redis.url(1), {"socket_connect_timeout": 0.3, "socket_timeout": 60.0})
    own_redis.pause()
    try:
        begin = time.monotonic()
        for error in failures_of(location):
            assert "did not answer in time" in str(error)
        assert time.monotonic() - begin < 5.0
    finally:
        own_redis.resume()


def failures_of(location: Location) -> list[OperationalError]:
    """How connecting fails, blocking and with asyncio."""
    with pytest.raises(OperationalError) as blocking:
        location.connect()
    with pytest.raises(OperationalError) as waiting:
        asyncio.run(asay(location, "PING"))
    return [blocking.value, waiting.value]


def test_an_app_takes_its_broker_from_the_parts_of_a_url(guarded: RedisServer) -> None:
    with Celeriac(
        "parts",
        broker_transport="redis",
        broker_host="127.0.0.1",
        broker_port=guarded.port,
        broker_password="p@/w:q?%;&",
        broker_vhost="4",
    ) as app:
        assert app.broker.address == f"redis://127.0.0.1:{guarded.port}/4"
        assert app.backend.address == app.broker.address
        assert app.broker.stores_results_of(app.backend)
        app.send_task("tests.nothing", queue="parts")
    assert guarded.call("LLEN", "parts", db=4) == 1


def test_an_app_takes_its_results_from_the_settings(guarded: RedisServer, redis_url: str) -> None:
    with Celeriac(
        "settings",
        broker=redis_url,
        backend="redis",
        redis_host="127.0.0.1",
        redis_port=guarded.port,
        redis_password="p@/w:q?%;&",
        redis_db=5,
        redis_client_name="results",
        result_backend_transport_options={"global_keyprefix": "shop"},
    ) as app:
        assert app.backend.address == f"redis://127.0.0.1:{guarded.port}/5"
        assert not app.broker.stores_results_of(app.backend)
        app.backend.load("unknown")
        assert b"name=results" in guarded.call("CLIENT", "LIST")
        assert "p@/w" not in app.conf.humanize()
