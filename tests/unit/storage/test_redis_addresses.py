"""What the URLs of Redis say, and what is wrong with others."""

from __future__ import annotations

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.redis.addresses import SCHEMES, RedisURL, Server, read_url
from celeriac.storage.urls import REDIS_SCHEMES


def test_all_schemes_are_known_where_urls_are_opened() -> None:
    assert set(SCHEMES) == set(REDIS_SCHEMES)


@pytest.mark.parametrize(
    ("url", "servers", "user", "password", "db"),
    [
        ("redis", (), None, None, None),
        ("redis://", (), None, None, None),
        ("redis:///3", (), None, None, 3),
        ("redis://db", (Server("db"),), None, None, None),
        ("REDIS://db:6380/2", (Server("db", 6380),), None, None, 2),
        ("redis://:6380", (Server("", 6380),), None, None, None),
        ("redis://[::1]:6380/2", (Server("::1", 6380),), None, None, 2),
        ("redis://:pw@db", (Server("db"),), None, "pw", None),
        ("redis://me:p%40%2Fw%3Aq%3F%25@db/1", (Server("db"),), "me", "p@/w:q?%", 1),
        ("redis://m%40e@db", (Server("db"),), "m@e", None, None),
        ("redis://db/?db=4", (Server("db"),), None, None, 4),
        ("redis://db?virtual_host=5", (Server("db"),), None, None, 5),
        ("redis://db//6", (Server("db"),), None, None, 6),
        ("valkeys://db:1/0", (Server("db", 1),), None, None, 0),
        ("redis+socket:///run/r.sock", (Server("", 0, "/run/r.sock"),), None, None, None),
        ("redis+socket:///run/r.sock?virtual_host=3", (Server("", 0, "/run/r.sock"),), None, None, 3),
        ("redis+socket:///run/r%20s?virtual_host=/3", (Server("", 0, "/run/r s"),), None, None, 3),
        ("unix://me:pw@/run/r.sock?db=2", (Server("", 0, "/run/r.sock"),), "me", "pw", 2),
        ("sentinel://s1:1;sentinel://s2:2/0", (Server("s1", 1), Server("s2", 2)), None, None, 0),
        ("sentinel://s1:1/4;sentinel://s2:2", (Server("s1", 1), Server("s2", 2)), None, None, 4),
        ("sentinel://s1:1;s2:2;s3/4", (Server("s1", 1), Server("s2", 2), Server("s3")), None, None, 4),
        ("sentinel://:pw@s1;sentinel://:pw@s2;", (Server("s1"), Server("s2")), None, "pw", None),
        ("sentinel://me:pw@s1;s2", (Server("s1"), Server("s2")), "me", "pw", None),
        ("redis+cluster://n1:1;n2:2", (Server("n1", 1), Server("n2", 2)), None, None, None),
        ("rediss+cluster://n1/0", (Server("n1"),), None, None, 0),
    ],
)
def test_what_a_url_says(
    url: str, servers: tuple[Server, ...], user: str | None, password: str | None, db: int | None
) -> None:
    read = read_url(url, "broker_url")
    assert (read.servers, read.user, read.password, read.db) == (servers, user, password, db)
    assert read.query == {}


def test_options_are_decoded_once() -> None:
    read = read_url("rediss://db?ssl_ca_certs=%2Fetc%2Fca%2520.pem&socket_timeout=3&virtual_host=1", "broker_url")
    assert read.query == {"ssl_ca_certs": "/etc/ca%20.pem", "socket_timeout": "3"}
    assert read.is_tls
    assert read.db == 1
    assert read_url("sentinel://a?x=1;sentinel://b?y=2", "broker_url").query == {"x": "1", "y": "2"}


def test_a_url_does_not_show_its_password() -> None:
    read = read_url("redis://me:hunter2@db?ssl_password=hunter2", "broker_url")
    assert "hunter2" not in repr(read)
    assert repr(RedisURL("redis", password="hunter2")).count("hunter2") == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://db:port", ["can not be taken apart", "redis://db:port"]),
        ("redis://db:99999", ["can not be taken apart"]),
        ("redis://[::1", ["can not be taken apart"]),
        ("redis://a..b", ["can not be taken apart"]),
        ("redis://:hun/ter2@db", ["can not be taken apart", "percent-encoded"]),
        ("redis://:hunter2#x@db", ["can not be taken apart"]),
        ("redis://me:hunter2@db#1", ["%23"]),
        ("redis://db/orders", ["database must be a number"]),
        ("redis://db/-1", ["database must be a number"]),
        ("redis://db/1?db=2", ["two databases"]),
        ("redis+socket://host/run/r.sock", ["has no host", "redis+socket:///path"]),
        ("redis+socket:///", ["names no socket"]),
        ("redis://:hunter2@a;redis://:hunter2@b", ["several Redis servers", "sentinel://"]),
        ("redis://a;b", ["several Redis servers"]),
        ("sentinel://a;redis://b", ["does not go together with sentinel://"]),
        ("sentinel://a;http://b", ["http:// does not go together"]),
        ("sentinel://:hunter2@a;sentinel://:hunter3@b", ["logins differ", "sentinel_kwargs"]),
        ("sentinel://a/1;sentinel://b/2", ["which database"]),
        ("sentinel://a;sentinel://b/2", ["which database"]),
        ("redis+cluster://a/1", ["database 0 only"]),
        ("redis+cluster://a;redis+cluster://b/1", ["database 0 only"]),
    ],
)
def test_what_is_wrong_with_a_url(url: str, words: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        read_url(url, "result_backend")
    for word in ["result_backend", *words]:
        assert word in str(caught.value)
    assert "hunter" not in str(caught.value)
    assert "ter2" not in str(caught.value)
    assert caught.value.__cause__ is None
