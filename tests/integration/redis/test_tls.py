"""TLS against a real server with a certificate of our own authority."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from celeriac import Celeriac
from celeriac.exceptions import OperationalError
from servers.authority import make_certificates
from servers.redis import RedisServer
from servers.tls import Tls

from .places import broker_location, say


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Certificates; clients must show one, too."""
    return make_certificates(tmp_path_factory.mktemp("tls"), clients_need_one=True)


@pytest.fixture(scope="module")
def server(tls: Tls) -> Iterator[RedisServer]:
    """A server that speaks nothing but TLS."""
    with RedisServer(tls=tls, password="pw") as server:
        yield server


def options_of(tls: Tls) -> dict[str, str]:
    return {
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": str(tls.ca),
        "ssl_certfile": str(tls.certificate),
        "ssl_keyfile": str(tls.key),
    }


def test_by_url(server: RedisServer, tls: Tls) -> None:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options_of(tls).items())
    for host in ("127.0.0.1", "localhost"):
        location = broker_location(f"rediss://:pw@{host}:{server.port}/2?{query}")
        assert say(location, "PING") == b"PONG"


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkeys"])
def test_by_setting(server: RedisServer, tls: Tls, scheme: str) -> None:
    location = broker_location(f"{scheme}://:pw@127.0.0.1:{server.port}", broker_use_ssl=options_of(tls))
    assert say(location, "PING") == b"PONG"


def test_a_broker_and_results(server: RedisServer, tls: Tls) -> None:
    url = f"rediss://:pw@127.0.0.1:{server.port}/1"
    with Celeriac(
        "tls", broker=url, backend=url, broker_use_ssl=options_of(tls), redis_backend_use_ssl=options_of(tls)
    ) as app:
        app.send_task("tests.nothing", queue="tls")
        app.backend.load("unknown")
    assert server.call("LLEN", "tls", db=1) == 1


def test_an_unknown_authority_is_refused(server: RedisServer, tls: Tls) -> None:
    pair = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
    with pytest.raises(OperationalError, match=r"CERTIFICATE_VERIFY_FAILED.*ssl_ca_certs") as caught:
        say(broker_location(server.url(), broker_use_ssl=pair), "PING")
    assert "pw" not in str(caught.value)
    unchecked = broker_location(server.url(), broker_use_ssl=pair | {"ssl_cert_reqs": "CERT_NONE"})
    assert say(unchecked, "PING") == b"PONG"


def test_a_client_without_a_certificate_is_refused(server: RedisServer, tls: Tls) -> None:
    with pytest.raises(OperationalError, match=r"rediss://127\.0\.0\.1"):
        say(broker_location(server.url(), broker_use_ssl={"ssl_ca_certs": str(tls.ca)}), "PING")


def test_the_name_in_the_certificate_counts(server: RedisServer, tls: Tls) -> None:
    url = f"rediss://:pw@127.0.0.2:{server.port}"
    server.call("CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2")
    with pytest.raises(OperationalError, match="IP address mismatch"):
        say(broker_location(url, broker_use_ssl=options_of(tls)), "PING")
    unchecked = broker_location(f"{url}?ssl_check_hostname=false", broker_use_ssl=options_of(tls))
    assert say(unchecked, "PING") == b"PONG"


def test_a_server_without_tls_says_so(redis_server: RedisServer) -> None:
    location = broker_location(f"rediss://127.0.0.1:{redis_server.port}", {"socket_connect_timeout": 0.5})
    with pytest.raises(OperationalError):
        location.connect()
