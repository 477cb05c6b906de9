"""From URLs, transport options and settings to locations."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from redis.credentials import CredentialProvider, UsernamePasswordCredentialProvider

from celeriac.config import Settings
from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.redis.location import Location
from celeriac.storage.redis.reading import read_location, results_beside


def broker_at(url: str, options: dict[str, Any] | None = None, **settings: Any) -> Location:
    return read_location(url, options or {}, setting="broker_url", settings=Settings(settings))


def results_at(url: str, options: dict[str, Any] | None = None, **settings: Any) -> Location:
    return read_location(url, options or {}, setting="result_backend", settings=Settings(settings))


class Provider(CredentialProvider):
    """A provider of the user's."""

    def get_credentials(self) -> tuple[str, str]:
        return "me", "pw"


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis", "redis://localhost:6379/0"),
        ("redis://", "redis://localhost:6379/0"),
        ("rediss://me:pw@db:1/2?ssl_cert_reqs=none", "rediss://me@db:1/2"),
        ("valkey://:pw@[::1]", "valkey://[::1]:6379/0"),
        ("redis://m%40e:pw@db", "redis://m%40e@db:6379/0"),
        ("redis+socket:///run/r.sock?virtual_host=3", "redis+socket:///run/r.sock?virtual_host=3"),
        ("unix://:pw@/run/r s", "unix:///run/r%20s?virtual_host=0"),
        ("redis+cluster://:pw@n1;n2:7000", "redis+cluster://n1:6379;n2:7000"),
    ],
)
def test_an_address_is_a_url_without_passwords(url: str, address: str) -> None:
    location = broker_at(url)
    assert location.address == address
    assert "pw" not in repr(location)
    again = broker_at(location.address)
    assert again.address == address
    assert again.same_store(location)


def test_sentinels() -> None:
    url = "sentinel://me:pw@s1;sentinel://me:pw@s2:1/3"
    location = broker_at("sentinel://me:pw@s1/3;sentinel://me:pw@s2:1/3", {"master_name": "mymaster"})
    assert location.address == "sentinel://me@s1:26379;s2:1/3"
    assert location.db == 3
    assert location.dialler.password == "pw"
    assert (location.scout.username, location.scout.password, location.scout.tls) == (None, None, None)
    with pytest.raises(ImproperlyConfigured, match="which database"):
        broker_at(url, {"master_name": "mymaster"})
    with pytest.raises(ImproperlyConfigured, match=r"result_backend_transport_options.*'master_name'") as caught:
        results_at("sentinel://:pw@s1")
    assert "pw" not in str(caught.value)


def test_sentinels_have_a_login_and_tls_of_their_own() -> None:
    kwargs = {"password": "word", "ssl": True, "ssl_ca_certs": "/ca.pem", "socket_timeout": 0.3}
    location = broker_at("sentinel://:pw@s1", {"master_name": "m", "sentinel_kwargs": kwargs, "min_other_sentinels": 1})
    assert (location.scout.password, location.scout.socket_timeout) == ("word", 0.3)
    assert location.scout.tls is not None
    assert location.scout.tls["ssl_ca_certs"] == "/ca.pem"
    assert location.dialler.tls is None
    assert location.min_other_sentinels == 1
    assert "word" not in repr(location.scout)
    with pytest.raises(ImproperlyConfigured, match=r"sentinel_kwargs in broker_transport_options.*'password'"):
        broker_at("sentinel://s1", {"master_name": "m", "sentinel_kwargs": {"pasword": "x"}})
    with pytest.raises(ImproperlyConfigured, match="expected a dictionary") as caught:
        broker_at("sentinel://s1", {"master_name": "m", "sentinel_kwargs": "password=hunter2"})
    assert "hunter2" not in str(caught.value)


def test_several_servers_share_the_time_for_one_connect() -> None:
    location = broker_at("redis+cluster://a;b;c;d", broker_connection_timeout=4)
    assert location.scout.connect_timeout == 1.0
    assert location.connect_timeout == 4.0
    assert broker_at("redis+cluster://a;b;c;d", broker_connection_timeout=0.2).scout.connect_timeout == 0.2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://db/1", "redis://db:6379/1", True),
        ("redis://db/1", "valkey://me@db/1", True),
        ("redis://db/1", "redis://db/2", False),
        ("redis://db", "redis://db:6380", False),
        ("redis://localhost", "redis://127.0.0.1", False),
        ("redis+cluster://a;b", "redis+cluster://b;c", True),
        ("redis+cluster://a", "redis://a", False),
        ("unix:///r.sock", "redis+socket:///r.sock", True),
    ],
)
def test_same_store(one: str, other: str, same: bool) -> None:
    assert broker_at(one).same_store(results_at(other)) is same


def test_same_store_of_clusters() -> None:
    """Another hash tag is another slot, most likely on another node."""
    one = broker_at("redis+cluster://a")
    assert one.same_store(results_at("redis+cluster://a", {"global_keyprefix": "{celeriac}:results:"}))
    assert not one.same_store(results_at("redis+cluster://a", {"global_keyprefix": "{results}"}))


def test_same_store_of_sentinels() -> None:
    one = broker_at("sentinel://a;b", {"master_name": "m"})
    assert one.same_store(results_at("sentinel://b;c", {"master_name": "m"}))
    assert not one.same_store(results_at("sentinel://a;b", {"master_name": "n"}))


# -- what counts: the URL, then the transport options, then the settings ----------------------------------------


def test_defaults() -> None:
    location = broker_at("redis://")
    assert (location.connect_timeout, location.socket_timeout) == (4.0, 5.0)
    assert (location.pool_limit, location.pool_timeout) == (10, None)
    assert location.prefix == ""
    assert location.dialler.health_check_interval == 0
    assert location.dialler.keepalive
    results = results_at("redis://")
    assert (results.connect_timeout, results.socket_timeout) == (4.0, 120.0)
    assert results.pool_limit is None
    assert not results.dialler.keepalive


def test_settings_of_the_broker() -> None:
    location = broker_at("redis", broker_connection_timeout=2, broker_pool_limit=3, broker_pool_acquire_timeout=1.5)
    assert (location.connect_timeout, location.pool_limit, location.pool_timeout) == (2, 3, 1.5)
    assert broker_at("redis", broker_pool_limit=0).pool_limit is None
    parts: dict[str, Any] = {
        "broker_host": "db",
        "broker_port": 1,
        "broker_user": "me",
        "broker_password": "pw",
        "broker_vhost": "/2",
    }
    location = broker_at("redis://", **parts)
    assert location.address == "redis://me@db:1/2"
    assert location.dialler.password == "pw"
    assert broker_at("redis://you:word@here:5/6", **parts).address == "redis://you@here:5/6"
    with pytest.raises(ImproperlyConfigured, match="broker_vhost is 'orders'"):
        broker_at("redis://", broker_vhost="orders")


def test_settings_of_results() -> None:
    location = results_at(
        "redis",
        redis_host="db",
        redis_port=1,
        redis_db=2,
        redis_username="me",
        redis_password="pw",
        redis_client_name="results",
        redis_max_connections=7,
        redis_socket_timeout=3,
        redis_socket_connect_timeout=2,
        redis_socket_keepalive=True,
        redis_backend_health_check_interval=25,
    )
    assert location.address == "redis://me@db:1/2"
    assert (location.pool_limit, location.socket_timeout, location.connect_timeout) == (7, 3, 2)
    dialler = location.dialler
    assert (dialler.password, dialler.client_name, dialler.health_check_interval) == ("pw", "results", 25)
    assert dialler.keepalive
    assert results_at("redis://you@here/5", redis_host="db", redis_db=2, redis_username="me").address == (
        "redis://you@here:6379/5"
    )
    assert results_at("redis://here", redis_port=1).address == "redis://here:1/0"
    assert results_at("redis", redis_socket_timeout=None).socket_timeout == 120.0


def test_transport_options_go_before_settings_and_the_url_before_both() -> None:
    options = {"socket_timeout": 1, "socket_connect_timeout": 2, "max_connections": 3, "client_name": "tests"}
    location = broker_at("redis://?socket_timeout=9.5", options, broker_connection_timeout=8)
    assert (location.socket_timeout, location.connect_timeout, location.pool_limit) == (9.5, 2, 3)
    assert location.dialler.client_name == "tests"
    assert broker_at("redis://", {"socket_timeout": None}).socket_timeout == 5.0
    options = {"socket_keepalive": False, "socket_keepalive_options": {4: 30}, "health_check_interval": 25}
    dialler = broker_at("redis://", options).dialler
    assert (dialler.keepalive, dialler.keepalive_options, dialler.health_check_interval) == (False, {4: 30}, 25)
    assert not broker_at("redis://?socket_keepalive=no").dialler.keepalive


def test_options_that_celery_needs_and_we_do_not() -> None:
    moot = {"visibility_timeout": 3600, "fanout_prefix": True, "unacked_key": "u", "max_retries": 3}
    assert (
        broker_at("redis://?decode_responses=1&protocol=3", moot | {"sep": ":"}).address == "redis://localhost:6379/0"
    )
    results_at("redis://", {"visibility_timeout": 3600, "retry_policy": {"timeout": 5.0}})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"global_key_prefix": "x"}, "'global_key_prefix'; did you mean 'global_keyprefix'"),
        ({"confirm_publish": True}, "'confirm_publish'; known ones: ack_emulation"),
        ({"socket_timeout": "soon"}, "socket_timeout='soon'; expected a number above 0"),
        ({"socket_timeout": 0}, "expected a number above 0"),
        ({"socket_timeout": float("inf")}, "expected a number above 0"),
        ({"socket_timeout": True}, "expected a number above 0"),
        ({"health_check_interval": -1}, "expected a number from 0 up"),
        ({"max_connections": 0}, "expected a number from 1 up"),
        ({"max_connections": 1.5}, "expected a whole number"),
        ({"client_name": 5}, "expected text"),
        ({"socket_keepalive_options": [1]}, "expected a dictionary"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        broker_at("redis://", options)
    assert "broker_transport_options" in str(caught.value)
    assert words in str(caught.value)


def test_wrong_options_in_a_url() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"the URL in result_backend .*'socket_timout'; did you mean"):
        results_at("redis://?socket_timout=5")
    with pytest.raises(ImproperlyConfigured, match="'queue_order_strategy'"):
        results_at("redis://", {"queue_order_strategy": "sorted"})


# -- prefixes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "of_broker", "of_results"),
    [("", "", ""), ("app", "app", "app_"), ("app:", "app:", "app:"), ("a.", "a.", "a."), ("a-", "a-", "a-")],
)
def test_key_prefixes_are_celerys(given: str, of_broker: str, of_results: str) -> None:
    options = {"global_keyprefix": given}
    assert broker_at("redis://", options).prefix == of_broker
    assert results_at("redis://", options).prefix == of_results


def test_key_prefixes_in_a_cluster_have_a_hash_tag() -> None:
    assert broker_at("redis+cluster://n").prefix == results_at("redis+cluster://n").prefix == "{celeriac}"
    assert broker_at("redis+cluster://n").is_cluster
    assert results_at("redis+cluster://n", {"global_keyprefix": "{shop}x"}).prefix == "{shop}x"
    for wrong in ("shop:", "{}shop", ""):
        with pytest.raises(ImproperlyConfigured, match="hash tag"):
            broker_at("redis+cluster://n", {"global_keyprefix": wrong})
    with pytest.raises(ImproperlyConfigured, match=r"write '\{shop\}'"):
        broker_at("redis+cluster://n", {"global_keyprefix": "shop:"})


def test_results_beside_the_broker() -> None:
    broker = broker_at("redis://:pw@db/1", {"global_keyprefix": "shop"})
    beside = results_beside(broker, {})
    assert beside.same_store(broker)
    assert (beside.prefix, beside.dialler, broker.prefix) == ("shop_", broker.dialler, "shop")
    assert results_beside(broker, {"global_keyprefix": "other:"}).prefix == "other:"
    assert results_beside(broker_at("redis+cluster://n"), {}).prefix == "{celeriac}"
    with pytest.raises(ImproperlyConfigured, match=r"result_backend_transport_options .*'global_keyprefx'"):
        results_beside(broker, {"global_keyprefx": "x"})


# -- logins and TLS ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [Provider(), Provider, f"{__name__}.Provider", f"{__name__}:Provider"])
def test_credential_providers_take_the_place_of_a_password(given: Any) -> None:
    for location in (
        broker_at("redis://you:word@db", {"credential_provider": given}),
        results_at("redis://you:word@db", {"credential_provider": given}),
    ):
        assert isinstance(location.dialler.credentials, Provider)
        assert (location.dialler.username, location.dialler.password) == (None, None)
        assert location.address == "redis://db:6379/0"


def test_credential_providers_by_url_and_setting() -> None:
    name = "redis.credentials.UsernamePasswordCredentialProvider"
    assert isinstance(
        broker_at(f"redis://?credential_provider={name}").dialler.credentials, UsernamePasswordCredentialProvider
    )
    assert isinstance(
        results_at("redis://", redis_backend_credential_provider=name).dialler.credentials,
        UsernamePasswordCredentialProvider,
    )
    for wrong in ("nonsense", "no.such.Module", "os.path", "redis.credentials.Nobody"):
        with pytest.raises(ImproperlyConfigured, match=wrong):
            broker_at("redis://", {"credential_provider": wrong})


@pytest.mark.parametrize("required", ["required", "CERT_REQUIRED", "cert_required", ssl.CERT_REQUIRED])
def test_tls_by_setting(required: Any) -> None:
    options = {"ssl_cert_reqs": required, "ssl_ca_certs": "/ca.pem", "ssl_keyfile": None}
    expected = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": "/ca.pem", "ssl_check_hostname": True}
    assert broker_at("redis://", broker_use_ssl=options).dialler.tls == expected
    assert results_at("redis://", redis_backend_use_ssl=options).dialler.tls == expected
    assert results_at("redis://", broker_use_ssl=options).dialler.tls is None


def test_tls_by_url() -> None:
    assert broker_at("redis://").dialler.tls is None
    assert broker_at("redis://", broker_use_ssl=True).dialler.tls == broker_at("rediss://").dialler.tls
    tls = broker_at(
        "rediss://?ssl_cert_reqs=CERT_NONE&ssl_ca_certs=%2Fca.pem&ssl_min_version=TLSv1_3",
        broker_use_ssl={"ssl_cert_reqs": "required", "ssl_certfile": "/c.pem"},
    ).dialler.tls
    assert tls == {
        "ssl_cert_reqs": ssl.CERT_NONE,
        "ssl_check_hostname": False,
        "ssl_ca_certs": "/ca.pem",
        "ssl_certfile": "/c.pem",
        "ssl_min_version": ssl.TLSVersion.TLSv1_3,
    }
    off = broker_at("rediss://?ssl_check_hostname=false").dialler.tls
    assert off is not None
    assert off["ssl_check_hostname"] is False
    assert broker_at("rediss+cluster://n").dialler.tls == broker_at("rediss+cluster://n").scout.tls
    assert broker_at("rediss+cluster://n").dialler.tls is not None
    assert broker_at("unix:///r.sock", broker_use_ssl=True).dialler.tls is None


def test_wrong_tls() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"broker_use_ssl has the unknown option 'ca_certs'; .*ssl_ca_certs"):
        broker_at("redis://", broker_use_ssl={"ca_certs": "/ca.pem"})
    with pytest.raises(ImproperlyConfigured, match="ssl_cert_reqs='maybe'; expected 'required'"):
        broker_at("rediss://?ssl_cert_reqs=maybe")
    with pytest.raises(ImproperlyConfigured, match="ssl_min_version='2'; expected a member"):
        broker_at("rediss://?ssl_min_version=2")
    with pytest.raises(ImproperlyConfigured, match=r"not encrypted; write rediss://.*redis_backend_use_ssl"):
        results_at("redis://?ssl_cert_reqs=required")
