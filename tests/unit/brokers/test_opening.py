"""From URLs to brokers and backends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.backends import open_backend
from celeriac.backends.disabled import DisabledBackend
from celeriac.backends.memory import MemoryBackend
from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers import broker_url_of, open_broker
from celeriac.brokers.memory import MemoryBroker
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.config import Settings
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
        ("amqp://h/x#y", ["'#'", "%23"]),
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


@pytest.mark.parametrize(
    ("opening", "package", "extra"),
    [
        ("brokers.open_broker('redis://')", "redis", "redis"),
        ("backends.open_backend('sentinel://s1')", "redis", "redis"),
        ("brokers.open_broker('amqps://')", "amqp", "rabbitmq"),
        ("brokers.open_broker('pyamqp://h')", "amqp", "rabbitmq"),
        ("backends.open_backend('rpc://h')", "amqp", "rabbitmq"),
    ],
)
def test_a_driver_that_is_not_installed_names_the_cure(opening: str, package: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from celeriac import backends, brokers\n"
        f"try: {opening}\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.startswith("ImproperlyConfigured")
    assert f"pip install 'celeriac[{extra}]'" in run.stdout


def test_redis_is_opened_at_its_first_use() -> None:
    broker = open_broker("redis://me:pw@127.0.0.1:1/2", {"sep": ":", "visibility_timeout": 3600})
    assert broker.address == "redis://me@127.0.0.1:1/2"
    for backend in (open_backend(None, broker=broker), open_backend("redis://127.0.0.1:1/2", broker=broker)):
        assert broker.stores_results_of(backend)
        backend.disconnect()
    other = open_backend("redis://127.0.0.1:1/3", broker=broker)
    assert not broker.stores_results_of(other)
    other.disconnect()
    broker.disconnect()
    with pytest.raises(ImproperlyConfigured, match="'visibility_timout'; did you mean 'visibility_timeout'"):
        open_broker("redis://", {"visibility_timout": 3600})


def test_a_broker_by_the_parts_of_its_url() -> None:
    assert broker_url_of(Settings()) is None
    assert broker_url_of(Settings(broker_url="redis://a", broker_transport="memory")) == "redis://a"
    assert broker_url_of(Settings(broker_transport="redis", broker_host="db")) == "redis://"
    assert broker_url_of(Settings(broker_host="redis://db/1")) == "redis://db/1"
    assert broker_url_of(Settings(broker_host="db")) == "amqp://"  # as in Celery


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


def test_rabbitmq_is_opened_at_its_first_use() -> None:
    broker = open_broker("pyamqp://me:pw@127.0.0.1:1/jobs", {"max_retries": 3})
    assert broker.address == "amqp://me@127.0.0.1:1/jobs"
    broker.disconnect()
    assert broker_url_of(Settings(broker_write_url="amqp://a", broker_read_url="amqp://b")) == "amqp://a"


@pytest.mark.parametrize("name", ["broker_read_url", "broker_write_url"])
def test_reading_and_writing_elsewhere_is_for_rabbitmq_alone(name: str) -> None:
    settings = Settings({name: "redis://me:secret@other/1"})
    with pytest.raises(ImproperlyConfigured, match="RabbitMQ only") as caught:
        open_broker("redis://db/1", settings=settings)
    assert name in str(caught.value)
    assert "secret" not in str(caught.value)
    open_broker("redis://me:secret@other/1", settings=settings).disconnect()
    with pytest.raises(ImproperlyConfigured, match="does not lead to RabbitMQ"):
        open_broker("amqp://db/1", settings=settings)


@pytest.mark.parametrize(
    ("url", "settings", "address"),
    [
        ("rpc://", {"broker_url": "amqp://me:pw@mq/jobs"}, "rpc://me@mq:5672/jobs"),
        ("rpc", {"broker_url": "amqps://mq"}, "rpc://guest@mq:5671//"),
        ("rpc://", {"broker_host": "mq"}, "rpc://guest@mq:5672//"),
        ("rpc://me:pw@other:1234/", {"broker_url": "redis://"}, "rpc://me@other:1234//"),
    ],
)
def test_results_by_reply_queue(url: str, settings: dict[str, str], address: str) -> None:
    backend = open_backend(url, settings=Settings(settings))
    assert backend.address == address
    backend.disconnect()


@pytest.mark.parametrize(
    ("url", "settings", "words"),
    [
        ("rpc://", {"broker_url": "redis://:pw@db/0"}, ["redis://:********@db/0", "rpc://user@host//", "redis://"]),
        ("rpc://", {}, ["broker_url is not set"]),
        ("amqp://me:pw@mq", {}, ["amqp://me:********@mq", "stores no results", "'rpc://'"]),
    ],
)
def test_reply_queues_that_nobody_has(url: str, settings: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        open_backend(url, settings=Settings(settings))
    for word in words:
        assert word in str(caught.value)
