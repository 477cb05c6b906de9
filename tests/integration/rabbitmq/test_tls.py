"""TLS against a real node with a certificate of our own authority."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from celeriac.exceptions import OperationalError
from servers.authority import make_certificates
from servers.rabbitmq import RabbitServer
from servers.tls import Tls

from .links_support import TIMEOUT, depth, linked, location, parcel


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Certificates; clients must show one, too."""
    return make_certificates(tmp_path_factory.mktemp("tls"), clients_need_one=True)


@pytest.fixture(scope="module")
def server(tls: Tls) -> Iterator[RabbitServer]:
    """A node that speaks nothing but TLS."""
    with RabbitServer(tls=tls) as server:
        yield server


def options_of(tls: Tls) -> dict[str, Any]:
    return {"ca_certs": str(tls.ca), "certfile": str(tls.certificate), "keyfile": str(tls.key)}


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
@pytest.mark.parametrize("prefix", ["", "ssl_"])
def test_by_setting(server: RabbitServer, tls: Tls, scheme: str, prefix: str) -> None:
    options = {f"{prefix}{name}": value for name, value in options_of(tls).items()}
    url = server.url().replace("amqps://", f"{scheme}://")
    with linked(url, broker_use_ssl=options) as links:
        links.publish([parcel(body=bytes(300_000)), parcel()])
        assert depth(links) >= 2


def test_by_url(server: RabbitServer, tls: Tls) -> None:
    query = "&".join(f"ssl_{name}={quote(value, safe='')}" for name, value in options_of(tls).items())
    with linked(f"{server.url()}?{query}".replace("127.0.0.1", "localhost")) as links:
        assert links.publish([parcel()]) == []


def test_a_link_that_has_ended_is_found_out_before_anything_is_sent(server: RabbitServer, tls: Tls) -> None:
    with linked(server.url(), broker_use_ssl=options_of(tls), queue="ends") as links:
        for _ in range(3):
            assert server.close_all_connections() >= 1
            links.publish([parcel("ends")])
        assert depth(links, "ends") == 3


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ca_certs": None}, "ca_certs"),
        ({"server_hostname": "elsewhere.example"}, "server_hostname"),
        ({"certfile": None, "keyfile": None}, "amqps://guest@127.0.0.1"),
    ],
)
def test_what_is_wrong_is_said(server: RabbitServer, tls: Tls, options: dict[str, Any], word: str) -> None:
    place = location(server.url(), broker_use_ssl=options_of(tls) | options)
    with pytest.raises(OperationalError) as caught:
        place.connect()
    assert word in str(caught.value)


def test_one_speaks_tls_and_the_other_does_not(server: RabbitServer, rabbit_server: RabbitServer, tls: Tls) -> None:
    plain = location(server.url().replace("amqps://", "amqp://"), broker_connection_timeout=TIMEOUT)
    with pytest.raises(OperationalError):
        plain.connect()
    secret = rabbit_server.url().replace("amqp://", "amqps://")
    place = location(secret, broker_connection_timeout=TIMEOUT, broker_use_ssl=options_of(tls))
    with pytest.raises(OperationalError, match="speak TLS at this port"):
        place.connect()
