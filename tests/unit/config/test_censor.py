"""What reports show."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.config import mask_url
from celeriac.config.censor import censor


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:pw@localhost:6379/0", "redis://:********@localhost:6379/0"),
        ("amqp://me:pw@h1//;amqp://me:pw@h2//", "amqp://me:********@h1//;amqp://me:********@h2//"),
        ("amqp://me:p@s/s;w:rd@host/v", "amqp://me:********@host/v"),
        ("db+postgresql://me:pw@h/d", "db+postgresql://me:********@h/d"),
        ("sentinel://:pw@h1;sentinel://:wp@h2/0", "sentinel://:********@h1;sentinel://:********@h2/0"),
        ("sentinel://:pw@h1:1;:wp@h2:2/0", "sentinel://:********@h2:2/0"),
        ("redis+socket://:p w@/run/redis.sock", "redis+socket://:********@/run/redis.sock"),
        ("redis+cluster://me:p w@n1;n2", "redis+cluster://me:********@n1;n2"),
        ("rediss://h/0?ssl_password=p w&db=5", "rediss://h/0?ssl_password=********&db=5"),
        ("redis://h/0?password=pw&timeout=5", "redis://h/0?password=********&timeout=5"),
        ("sqs://?aws_secret_access_key=pw", "sqs://?aws_secret_access_key=********"),
        ("sqlite:////tmp/a@b.sqlite3", "sqlite:////tmp/a@b.sqlite3"),
        ("me:pw@host", "me:pw@host"),
        ("memory://", "memory://"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("redis_password", "x", "********"),
        ("redis_password", None, None),
        ("password", 1234, "********"),
        ("s3_secret_access_key", "x", "********"),
        ("security_key", "x", "********"),
        ("database_engine_options", {"a": 1}, "********"),
        ("database_create_tables_at_setup", True, True),
        ("task_default_routing_key", "x", "x"),
        ("cassandra_keyspace", "x", "x"),
        ("broker_transport_options", {"nested": {"token": "x", "n": 1}}, {"nested": {"token": "********", "n": 1}}),
        ("x", ["redis://:pw@h", 1], ["redis://:********@h", 1]),
        ("x", ("redis://:pw@h",), ("redis://:********@h",)),
        ("task_time_limit", 3, 3),
        ("x", dict, dict),
    ],
)
def test_values(name: str, value: Any, shown: Any) -> None:
    assert censor(name, value) == shown


def test_transport_options_of_sentinels() -> None:
    options = {"master_name": "mymaster", "sentinel_kwargs": {"password": "word", "ssl": True}}
    shown = censor("broker_transport_options", options)
    assert shown == {"master_name": "mymaster", "sentinel_kwargs": {"password": "********", "ssl": True}}
