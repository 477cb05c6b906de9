"""From URLs to brokers and backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.backends import open_backend
from celeriac.backends.disabled import DisabledBackend
from celeriac.backends.memory import MemoryBackend
from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers import open_broker
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.exceptions import ImproperlyConfigured, NotSupported
from celeriac.outcome import ResultRecord


def test_sqlite_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_broker("sqlite:///a b/q.db").address == f"sqlite:///{tmp_path}/a b/q.db"
    assert open_broker("sqlite:////var/q.db").address == "sqlite:////var/q.db"
    assert open_backend("SQLITE:////var/q.db", broker=None).address == "sqlite:////var/q.db"
    assert open_broker(open_broker("sqlite:///q.db").address).address == f"sqlite:///{tmp_path}/q.db"
    assert list(tmp_path.iterdir()) == []


def test_memory_names() -> None:
    assert open_broker("memory://").address == "memory://"
    assert open_broker("memory").address == "memory://"
    assert open_broker("memory://x/").address == "memory://x"
    assert isinstance(open_broker("memory://x"), MemoryBroker)
    assert isinstance(open_backend("memory://x", broker=None), MemoryBackend)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://queue.db", ["sqlite://queue.db", "three slashes"]),
        ("sqlite:///", ["names no file"]),
        ("sqlite://", ["names no file"]),
        ("sqlite:///:memory:", ["names no file", "memory://"]),
        ("sqlite:///q.db?timeout=3", ["transport options"]),
        ("redis://localhost/orders", ["database must be a number"]),
        ("amqp://", ["RabbitMQ", "later version"]),
        ("postgresql://x", ["PostgreSQL", "later version"]),
        ("nonsense://x", ["unknown scheme nonsense://", "sqlite://", "memory://", "celeriac.brokers"]),
        ("", ["not a URL"]),
        ("./queue.db", ["not a URL", "sqlite:///"]),
    ],
)
def test_wrong_urls_name_the_cure(url: str, words: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        open_broker(url)
    assert "broker_url" in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    with pytest.raises(ImproperlyConfigured, match="result_backend"):
        open_backend(url, broker=None)


def test_options() -> None:
    assert isinstance(open_broker("sqlite:///q.db", {"busy_timeout": 1.5}), SQLiteBroker)
    assert isinstance(open_backend("sqlite:///q.db", broker=None, options={"busy_timeout": 1.5}), SQLiteBackend)
    with pytest.raises(ImproperlyConfigured, match=r"visibility_timeout.*busy_timeout"):
        open_broker("sqlite:///q.db", {"visibility_timeout": 3600})
    with pytest.raises(ImproperlyConfigured, match="none"):
        open_broker("memory://", {"busy_timeout": 3600})


def test_a_backend_beside_the_broker() -> None:
    for url in ("sqlite:///q.db", "memory://beside"):
        broker = open_broker(url)
        backend = open_backend(None, broker=broker)
        assert backend.address == broker.address
        assert broker.stores_results_of(backend)
        assert broker.stores_results_of(open_backend(url, broker=broker))
        assert not broker.stores_results_of(open_backend("memory://another", broker=broker))
        assert not broker.stores_results_of(open_backend("sqlite:///another.db", broker=broker))
        assert not broker.stores_results_of(open_backend("disabled://", broker=broker))
    assert isinstance(open_backend(None, broker=None), DisabledBackend)


@pytest.mark.parametrize("url", ["disabled", "disabled://"])
def test_disabled_results(url: str) -> None:
    backend = open_backend(url, broker=None)
    backend.store([ResultRecord("1", "SUCCESS", b"")])
    backend.forget("1")
    with pytest.raises(NotSupported, match="result_backend"):
        backend.load("1")
    with pytest.raises(NotSupported, match="task 1"):
        backend.wait_ready("1", 100)
    backend.disconnect()
