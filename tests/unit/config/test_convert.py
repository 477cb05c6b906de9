"""What may be written for a setting, what becomes of it, and what the refusal says."""

from __future__ import annotations

import math
from collections import OrderedDict
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.config.convert import accepts, convert, expected
from celeriac.config.schema import TABLE
from celeriac.exceptions import ImproperlyConfigured


def function() -> None: ...


@pytest.mark.parametrize(
    ("name", "written", "kept"),
    [
        ("task_acks_late", False, False),
        ("task_acks_late", "yes", True),
        ("task_acks_late", " FALSE ", False),
        ("task_acks_on_failure", "none", None),
        ("worker_concurrency", 4, 4),
        ("worker_concurrency", 4.0, 4),
        ("worker_concurrency", "4", 4),
        ("worker_concurrency", "auto", None),
        ("worker_concurrency", "", None),
        ("worker_pool", "processes", "prefork"),
        ("worker_pool", "threads", "threads"),
        ("task_protocol", "2", 2),
        ("task_time_limit", 30, 30),
        ("task_time_limit", "1.5", 1.5),
        ("task_time_limit", timedelta(minutes=2), 120.0),
        ("task_time_limit", None, None),
        ("result_expires", timedelta(days=2), 172800.0),
        ("result_expires", timedelta(0), None),
        ("result_expires", 0, None),
        ("result_expires", "3600", 3600.0),
        ("result_backend_max_sleep_between_retries_ms", timedelta(seconds=3), 3000.0),
        ("accept_content", ["json", "yaml"], ("json", "yaml")),
        ("accept_content", {"yaml", "json"}, ("json", "yaml")),
        ("accept_content", "json, yaml", ("json", "yaml")),
        ("imports", "proj.tasks", ("proj.tasks",)),
        ("imports", (), ()),
        ("task_queues", ["a", "b"], ("a", "b")),
        ("task_queues", {"a": {"exchange": "a"}}, {"a": {"exchange": "a"}}),
        ("task_queues", "a,b", ("a", "b")),
        ("task_routes", {"proj.*": "low", "x": {"queue": "y"}}, {"proj.*": "low", "x": {"queue": "y"}}),
        ("task_routes", function, function),
        ("task_routes", [("a", "b")], (("a", "b"),)),
        ("task_routes", "proj.routes.route", "proj.routes.route"),
        ("task_annotations", {"*": {"rate_limit": "10/s"}}, {"*": {"rate_limit": "10/s"}}),
        ("broker_transport_options", OrderedDict(timeout=5), {"timeout": 5}),
        ("broker_transport_options", '{"timeout": 5}', {"timeout": 5}),
        ("broker_url", ["amqp://a", "amqp://b"], "amqp://a;amqp://b"),
        ("broker_use_ssl", True, True),
        ("broker_use_ssl", {"ca_certs": "x"}, {"ca_certs": "x"}),
        ("broker_pool_limit", 0, None),
        ("task_default_delivery_mode", "transient", 1),
        ("task_default_rate_limit", "10/m", "10/m"),
        ("task_default_rate_limit", 3, 3),
        ("timezone", "Europe/Berlin", "Europe/Berlin"),
        ("timezone", ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
        ("timezone", UTC, "UTC"),
        ("timezone", "utc", "UTC"),
        ("worker_pidfile", Path("/run/w.pid"), "/run/w.pid"),
        ("worker_redirect_stdouts_level", "info", "INFO"),
        ("worker_redirect_stdouts_level", 30, 30),
        ("security_key_password", b"x", b"x"),
        ("worker_consumer", dict, dict),
        ("worker_umask", "022", "022"),
        ("result_backend_max_retries", math.inf, math.inf),
        ("task_default_priority", 0, 0),
        ("task_default_priority", 9, 9),
    ],
)
def test_accepted(name: str, written: Any, kept: Any) -> None:
    value = convert(TABLE[name], written)
    assert value == kept
    assert type(value) is type(kept)
    assert accepts(TABLE[name], written)


@pytest.mark.parametrize(
    ("name", "written", "says"),
    [
        ("task_acks_late", 1, "setting 'task_acks_late' is 1 (int): expected True or False"),
        ("task_acks_late", "maybe", "is 'maybe' (str): expected True or False"),
        ("task_acks_late", None, "is None (NoneType): expected True or False"),
        ("worker_concurrency", 0, "is 0 (int): expected a whole number of at least 1, or None"),
        ("worker_concurrency", -1, "at least 1"),
        ("worker_concurrency", 1.5, "expected a whole number"),
        ("worker_concurrency", True, "is True (bool): expected a whole number"),
        ("worker_concurrency", "many", "is 'many' (str): expected a whole number of at least 1, or None"),
        ("task_time_limit", 0, "expected a number of seconds above 0, or None"),
        ("task_time_limit", -3.0, "above 0"),
        ("task_time_limit", math.nan, "expected a number of seconds"),
        ("task_time_limit", math.inf, "expected a number of seconds"),
        ("task_time_limit", "nan", "expected a number of seconds"),
        ("task_soft_time_limit", timedelta(0), "datetime.timedelta(0) (timedelta): expected a number of seconds"),
        ("task_default_priority", 10, "expected a whole number from 0 to 9, or None"),
        ("task_default_priority", -1, "from 0 to 9"),
        ("worker_soft_shutdown_timeout", -1, "expected a number of seconds, at least 0"),
        ("task_max_deliveries", 0, "expected a whole number of at least 1"),
        ("worker_max_memory_per_child", "1 GB", "expected a whole number of KiB, at least 1, or None"),
        ("worker_pool", "gevent", "there are no greenlets here; use 'asyncio' (for coroutines) or 'threads'"),
        ("worker_pool", "forks", "expected one of 'prefork', 'threads', 'asyncio', 'solo'"),
        ("task_protocol", 1, "version 1 is only read here"),
        ("task_protocol", 3, "expected 2"),
        ("task_executor", "processes", "expected one of 'process', 'thread', 'asyncio', or None"),
        ("accept_content", 3, "expected a list of text"),
        ("accept_content", ["json", 3], "expected a list of text"),
        ("task_queues", [object()], "expected queues (celeriac.Queue), names of queues, or a dictionary of"),
        ("beat_schedule", ["x"], "is ['x'] (list): expected a dictionary"),
        ("beat_schedule", {1: {}}, "expected a dictionary"),
        ("beat_schedule", {"a": 1}, "expected a dictionary"),
        ("broker_transport_options", "{broken", "expected a dictionary"),
        ("broker_transport_options", "[1]", "expected a dictionary"),
        ("broker_url", ["amqp://a", 3], "expected text, or None"),
        ("broker_url", b"amqp://", "expected text, or None"),
        ("timezone", "Europe/Berln", "expected the name of a time zone: did you mean 'Europe/Berlin'?"),
        ("timezone", "qqqqqqqqqqqq", "expected the name of a time zone, such as 'Europe/Berlin'"),
        ("timezone", "../../etc/passwd", "expected the name of a time zone"),
        ("timezone", "Europe", "expected the name of a time zone"),
        ("timezone", timezone(timedelta(hours=2)), "expected the name of a time zone"),
        ("timezone", 3, "expected text, or None"),
        ("worker_redirect_stdouts_level", "LOUD", "expected a log level: "),
        ("task_default_rate_limit", "10 per minute", "expected a rate such as '10/s'"),
        ("task_default_rate_limit", -1, "at least 0"),
        ("broker_failover_strategy", 3, "expected text or a function, or None"),
        ("worker_pidfile", 3, "expected a path, or None"),
        ("worker_agent", 3, "expected text or a class, or None"),
        ("broker_port", 70000, "from 1 to 65535"),
        ("task_default_delivery_mode", 3, "from 1 to 2"),
    ],
)
def test_refused(name: str, written: Any, says: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        convert(TABLE[name], written)
    assert says in str(caught.value)
    assert name in str(caught.value)
    assert not accepts(TABLE[name], written)


def test_a_refusal_does_not_show_secrets() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        convert(TABLE["redis_password"], ["hunter2"])
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ImproperlyConfigured) as caught:
        convert(TABLE["broker_url"], ["redis://:hunter2@h", 3])
    assert "hunter2" not in str(caught.value)


def test_a_refusal_does_not_show_pages_of_a_value() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        convert(TABLE["worker_concurrency"], "x" * 10_000)
    assert len(str(caught.value)) < 400


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=5), st.timedeltas()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(TABLE)), value=VALUES)
def test_whatever_is_written_is_kept_or_refused(name: str, value: Any) -> None:
    row = TABLE[name]
    if accepts(row, value):
        kept = convert(row, value)
        assert convert(row, kept) == kept
    else:
        with pytest.raises(ImproperlyConfigured, match=name):
            convert(row, value)


@pytest.mark.parametrize("name", ["task_time_limit", "worker_concurrency", "result_backend_max_retries"])
def test_numbers_too_large_for_a_float(name: str) -> None:
    assert convert(TABLE[name], 10**400) == 10**400


def test_a_dictionary_is_copied() -> None:
    written = {"a": 1}
    kept = convert(TABLE["broker_transport_options"], written)
    written["a"] = 2
    assert kept == {"a": 1}


def test_no_time_zone_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(key: str) -> None:
        raise KeyError(key)

    monkeypatch.setattr("zoneinfo.ZoneInfo", unknown)
    monkeypatch.setattr("zoneinfo.available_timezones", set[str])
    assert convert(TABLE["timezone"], "UTC") == "UTC"
    with pytest.raises(ImproperlyConfigured, match="pip install tzdata"):
        convert(TABLE["timezone"], "Europe/Berlin")


def test_expected_in_words() -> None:
    assert expected(TABLE["event_queue_ttl"]) == "a number of seconds, at least 0, or None"
    assert expected(TABLE["redis_backend_use_ssl"]) == "a dictionary or True or False, or None"
