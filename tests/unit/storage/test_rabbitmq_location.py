"""From URLs, transport options and settings to where RabbitMQ is."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import pytest

from celeriac.config import Settings
from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.rabbitmq.addresses import Server
from celeriac.storage.rabbitmq.failover import Rotation
from celeriac.storage.rabbitmq.location import RabbitLocation
from celeriac.storage.rabbitmq.reading import read_location, read_locations

SECRET = "s3cret"


def broker_at(url: str, options: dict[str, Any] | None = None, **settings: Any) -> RabbitLocation:
    return read_location(url, options or {}, setting="broker_url", settings=Settings(settings))


def server_at(url: str, options: dict[str, Any] | None = None, **settings: Any) -> Server:
    return broker_at(url, options, **settings).rotation.servers[0]


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("amqp", "amqp://guest@localhost:5672//"),
        ("amqp://", "amqp://guest@localhost:5672//"),
        ("pyamqp://h", "amqp://guest@h:5672//"),
        ("py-amqp://h:1/", "amqp://guest@h:1//"),
        ("AMQPS://h", "amqps://guest@h:5671//"),
        (f"amqp://me:{SECRET}@h//", "amqp://me@h:5672//"),
        (f"amqp://m%40e:{SECRET}@[::1]:7/jobs", "amqp://m%40e@[::1]:7/jobs"),
        ("amqp://h/a%2Fb", "amqp://guest@h:5672/a%2Fb"),
        (f"amqp://a:{SECRET}@h1;amqps://b:{SECRET}@h2/x", "amqp://a@h1:5672//;amqps://b@h2:5671/x"),
        (f"amqp://a:{SECRET}@h1:1/x; h2 ;h3:3/y", "amqp://a@h1:1/x;amqp://a@h2:5672/x;amqp://a@h3:3/y"),
    ],
)
def test_an_address_is_a_url_without_passwords(url: str, address: str) -> None:
    location = broker_at(url)
    assert location.address == address
    assert SECRET not in repr(location)
    assert not any(SECRET in repr(part) for part in (location.rotation.servers, location.dialler))
    again = broker_at(location.address)
    assert again.address == address
    assert again.same_server(location)


@pytest.mark.parametrize(
    ("path", "name"),
    [("", "/"), ("/", "/"), ("//", "/"), ("/%2F", "/"), ("/jobs", "jobs"), ("//jobs", "/jobs"), ("/%2fjobs", "/jobs")],
)
def test_virtual_hosts_are_written_as_for_kombu(path: str, name: str) -> None:
    location = broker_at(f"amqp://h{path}")
    assert location.virtual_host == name
    assert broker_at(location.address).virtual_host == name


def test_what_a_url_leaves_out_is_in_settings() -> None:
    parts: dict[str, Any] = {
        "broker_host": "mq",
        "broker_port": 1,
        "broker_user": "me",
        "broker_password": SECRET,
        "broker_vhost": "jobs",
    }
    server = server_at("amqp://", **parts)
    assert (server.host, server.port, server.user, server.password, server.virtual_host) == tuple(parts.values())
    other = server_at("amqp://you:word@h:2/x", **parts)
    assert (other.host, other.port, other.user, other.password, other.virtual_host) == ("h", 2, "you", "word", "x")


def test_lists_of_urls() -> None:
    settings = Settings(broker_url=[f"amqp://me:{SECRET}@h1//", f"amqp://me:{SECRET}@h2//"])
    assert settings.broker_url is not None
    assert broker_at(settings.broker_url).address == "amqp://me@h1:5672//;amqp://me@h2:5672//"
    assert SECRET not in settings.humanize()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"amqp://me:{SECRET}@h:port/", ["can not be taken apart", "percent-encoded"]),
        (f"amqp://me:{SECRET}@h/x#y", ["'#'", "%23"]),
        (f"amqp://me:{SECRET}@h;redis://h", ["redis://", "amqps://"]),
        (f"amqp://me:{SECRET}@h?hartbeat=3", ["'hartbeat'", "did you mean 'heartbeat'"]),
        (f"amqp://me:{SECRET}@h?heartbeat=soon", ["heartbeat='soon'", "a number"]),
        (f"amqp://me:{SECRET}@h?login_method=magic", ["'magic'", "PLAIN, AMQPLAIN, EXTERNAL"]),
        (f"amqp://me:{SECRET}@h?ssl_cert_reqs=none", ["not encrypted", "amqps://"]),
        (f"amqps://me:{SECRET}@h?ssl_cert_reqs=maybe", ["'maybe'", "required"]),
    ],
)
def test_wrong_urls_name_the_cure_and_no_password(url: str, words: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        broker_at(url)
    for word in ["broker_url", *words]:
        assert word in str(caught.value)
    assert SECRET not in str(caught.value)


# -- options -----------------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    location = broker_at("amqp://h")
    assert (location.connect_timeout, location.answer_timeout, location.consumer_timeout) == (4, 10, 1800)
    assert (location.pool_limit, location.pool_timeout, location.heartbeat_checkrate) == (10, None, 3)
    assert location.dialler.login_method == "PLAIN"
    assert location.dialler.socket_options[socket.TCP_NODELAY] == 1


def test_the_url_counts_before_options_and_these_before_settings() -> None:
    settings: dict[str, Any] = {
        "broker_connection_timeout": 1,
        "broker_login_method": "AMQPLAIN",
        "broker_heartbeat": 5,
    }
    location = broker_at("amqp://h", **settings)
    assert (location.connect_timeout, location.dialler.login_method, location.heartbeat) == (1, "AMQPLAIN", 5)
    options = {"connect_timeout": 2, "login_method": "external", "heartbeat": 6}
    location = broker_at("amqp://h", options, **settings)
    assert (location.connect_timeout, location.dialler.login_method, location.heartbeat) == (2, "EXTERNAL", 6)
    location = broker_at("amqp://h?connect_timeout=3&login_method=PLAIN&heartbeat=7", options, **settings)
    assert (location.connect_timeout, location.dialler.login_method, location.heartbeat) == (3, "PLAIN", 7)


def test_timeouts_of_answers() -> None:
    assert broker_at("amqp://", {"read_timeout": 3}).answer_timeout == 3
    location = broker_at("amqp://", {"read_timeout": 3, "confirm_timeout": 4, "write_timeout": 5})
    assert (location.answer_timeout, location.dialler.write_timeout) == (4, 5)


def test_a_heartbeat_that_nobody_asked_for_follows_the_lease() -> None:
    """RabbitMQ needs up to three intervals to notice the end of a machine."""
    location = broker_at("amqp://")
    assert [location.heartbeat_within(seconds) for seconds in (60, 10, 1)] == [20, 4, 1]
    assert broker_at("amqp://", broker_heartbeat=120).heartbeat_within(10) == 120
    assert broker_at("amqp://", broker_heartbeat=0).heartbeat_within(10) == 0
    assert broker_at("amqp://", broker_heartbeat=None).heartbeat_within(10) == 0


def test_options_of_sockets() -> None:
    location = broker_at("amqp://", {"socket_settings": {"TCP_KEEPIDLE": 5, socket.TCP_KEEPCNT: 2}})
    assert location.dialler.socket_options[socket.TCP_KEEPIDLE] == 5
    assert location.dialler.socket_options[socket.TCP_KEEPCNT] == 2
    with pytest.raises(ImproperlyConfigured, match="TCP_NONSENSE"):
        broker_at("amqp://", {"socket_settings": {"TCP_NONSENSE": 5}})


def test_unknown_options_suggest_the_nearest() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"broker_transport_options.*'read_timout'.*'read_timeout'"):
        broker_at("amqp://", {"read_timout": 3})
    broker_at("amqp://", {"confirm_publish": True, "max_retries": 3, "interval_start": 0, "frame_max": 4096})


def test_reading_and_writing_elsewhere() -> None:
    def read(**settings: Any) -> RabbitLocation:
        return read_locations("amqp://h", {}, setting="broker_url", settings=Settings(settings))

    assert read().for_publishing.address == read().address == "amqp://guest@h:5672//"
    both = read(broker_read_url="amqp://r", broker_write_url=["amqp://w", "amqp://v"])
    assert both.address == "amqp://guest@r:5672//"
    assert both.for_publishing.address == "amqp://guest@w:5672//;amqp://guest@v:5672//"
    assert not both.same_server(both.for_publishing)
    assert read(broker_write_url="amqp://w").address == "amqp://guest@h:5672//"
    with pytest.raises(ImproperlyConfigured, match="broker_write_url"):
        read(broker_write_url="amqp://w:x")


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "settings", "port"),
    [
        ("amqps://h", {}, 5671),
        ("amqp://h?ssl=true", {}, 5671),
        ("amqp://h", {"broker_use_ssl": True}, 5671),
        ("amqps://h", {"broker_use_ssl": {"cert_reqs": ssl.CERT_REQUIRED}}, 5671),
        ("amqp://h:5672", {"broker_use_ssl": {"ssl_cert_reqs": "required"}}, 5672),
    ],
)
def test_tls_checks_certificates_and_names(url: str, settings: dict[str, Any], port: int) -> None:
    location = broker_at(url, **settings)
    server = location.rotation.servers[0]
    assert (server.tls, server.port) == (True, port)
    context = location.dialler.tls
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_tls_by_py_amqps_names() -> None:
    options = {"cert_reqs": ssl.CERT_NONE, "server_hostname": "mq", "ssl_version": None, "server_side": False}
    location = broker_at("amqp://h", broker_use_ssl=options)
    assert location.dialler.tls is not None
    assert location.dialler.tls.verify_mode == ssl.CERT_NONE
    assert location.dialler.server_hostname == "mq"
    context = ssl.create_default_context()
    assert broker_at("amqps://h", broker_use_ssl={"context": context}).dialler.tls is context
    other = broker_at("amqps://h?ssl_check_hostname=false", broker_use_ssl={"context": {"check_hostname": True}})
    assert other.dialler.tls is not None
    assert not other.dialler.tls.check_hostname


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ca_cert": "x"}, ["'ca_cert'", "did you mean"]),
        ({"ca_certs": "/nowhere/ca.pem"}, ["can not be used", "files"]),
        ({"ciphers": "nonsense"}, ["can not be used"]),
    ],
)
def test_wrong_options_of_tls(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        broker_at("amqps://h", broker_use_ssl=options)
    for word in ["broker_use_ssl", *words]:
        assert word in str(caught.value)


# -- failover ----------------------------------------------------------------------------------------------------------


def servers(*names: str) -> list[Server]:
    return [Server(name, 1, "u", "p", "/", url=f"amqp://{name}") for name in names]


def hosts(rotation: Rotation) -> list[str]:
    return [server.host for server in rotation.order()]


def test_round_robin_begins_with_the_last_that_worked() -> None:
    rotation = Rotation(servers("a", "b", "c"))
    assert hosts(rotation) == ["a", "b", "c"]
    rotation.worked(rotation.servers[1])
    assert hosts(rotation) == ["b", "c", "a"]


def test_shuffle_tries_each_once() -> None:
    rotation = Rotation(servers("a", "b", "c", "d"), "shuffle")
    orders = {tuple(hosts(rotation)) for _ in range(100)}
    assert len(orders) > 1
    assert all(order[0] == "a" and sorted(order) == ["a", "b", "c", "d"] for order in orders)


def test_a_function_of_the_urls() -> None:
    seen: list[list[str]] = []

    def backwards(urls: list[str]) -> Iterator[str]:
        seen.append(urls)
        return cycle([urls[0], *reversed(urls)])

    rotation = Rotation(servers("a", "b", "c"), backwards)
    assert hosts(rotation) == ["a", "c", "b"]
    assert list(islice(rotation.order(), 2)) == [rotation.servers[0], rotation.servers[0]]
    assert seen == [["amqp://a", "amqp://b", "amqp://c"]]
    for wrong in (lambda _: iter(()), lambda _: cycle(["amqp://z"])):
        with pytest.raises(ImproperlyConfigured, match="broker_failover_strategy"):
            hosts(Rotation(servers("a", "b"), wrong))


def test_strategies_come_from_settings() -> None:
    assert hosts(broker_at("amqp://a;amqp://b", broker_failover_strategy="shuffle").rotation) == ["a", "b"]
    with pytest.raises(ImproperlyConfigured, match=r"'at-random'.*'round-robin' or 'shuffle'"):
        broker_at("amqp://a;amqp://b", broker_failover_strategy="at-random")
    location = broker_at("amqp://a;b", broker_failover_strategy=cycle)
    assert hosts(location.rotation) == ["a", "b"]
