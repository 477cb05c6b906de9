"""Sentinels, clusters and the proxy of the tests do what the tests rely on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis.connection
from redis.exceptions import ConnectionError, MovedError, ResponseError, TimeoutError  # noqa: A004

from servers.cluster import ClusterSetup
from servers.proxy import Point, RedisProxy, named
from servers.redis import Conversation, RedisServer
from servers.sentinel import SentinelSetup


@contextlib.contextmanager
def conversation(port: int) -> Iterator[Conversation]:
    kind: Any = redis.connection.Connection  # without types
    talk = Conversation(kind(host="127.0.0.1", port=port, protocol=2, socket_timeout=5.0))
    try:
        yield talk
    finally:
        talk.close()


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.port) as running:
        yield running


def test_the_replica_takes_over_and_the_old_master_comes_back_as_replica() -> None:
    with SentinelSetup() as setup:
        first = setup.master
        assert setup.url.count("sentinel://") == 3
        first.call("SET", "key", "value")
        assert first.call("WAIT", 1, 5000) == 1
        assert setup.kill_master() is first
        assert setup.master is not first
        assert setup.master.call("GET", "key") == b"value"
        setup.bring_back(first)
        assert setup.failover() is not first
        assert setup.master is first
        assert first.call("GET", "key") == b"value"


def test_sentinels_and_stores_with_passwords_find_each_other() -> None:
    with SentinelSetup(password="store", sentinel_password="sentinel") as setup:
        assert setup.master.call("PING") == b"PONG"


def test_the_nodes_of_a_cluster_share_the_slots() -> None:
    with ClusterSetup() as cluster:
        assert cluster.url == f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}/0"
        holders = {cluster.node_of(b"key-%d" % number).port for number in range(20)}
        assert holders == {node.port for node in cluster.nodes}
        holder = cluster.node_of(b"{tag}a")
        holder.call("SET", "{tag}a", "value")
        other = next(node for node in cluster.nodes if node is not holder)
        with pytest.raises(MovedError):
            other.call("GET", "{tag}a")
        cluster.move(cluster.slot_of(b"{tag}a"), other)
        assert other.call("GET", "{tag}a") == b"value"
        assert cluster.node_of(b"{tag}a") is other


def test_the_proxy_passes_all_on_and_counts(proxy: RedisProxy) -> None:
    with conversation(proxy.port) as talk:
        assert talk.call("SET", "key", b"\r\n" * 100_000) == b"OK"
        assert talk.call("GET", "key") == b"\r\n" * 100_000
        assert talk.call("EVAL", "return {1, {2, false}, {}, 'x'}", 0) == [1, [2, None], [], b"x"]
        with pytest.raises(ResponseError):
            talk.call("no-such-command")
    assert (proxy.counts["SET"], proxy.counts["GET"], proxy.counts["NO-SUCH-COMMAND"]) == (1, 1, 1)


@pytest.mark.parametrize(("point", "executed"), [(Point.CUT_BEFORE, None), (Point.CUT_AFTER, b"1")])
def test_a_connection_is_cut_at_a_command(
    proxy: RedisProxy, redis_server: RedisServer, point: Point, executed: bytes | None
) -> None:
    trap = proxy.at(named("INCR", b"key"), point)
    with conversation(proxy.port) as talk:
        assert talk.call("INCR", "other") == 1
        with pytest.raises(ConnectionError):
            talk.call("INCR", "key")
    trap.wait()
    assert redis_server.call("GET", "key") == executed
    with conversation(proxy.port) as talk:
        talk.call("INCR", "key")


def test_a_reply_is_cut_in_its_middle(proxy: RedisProxy, redis_server: RedisServer) -> None:
    redis_server.call("SET", "key", b"x" * 1000)
    with conversation(proxy.port) as talk:
        talk.call("PING")
        trap = proxy.cut_after(500, "replies")
        with pytest.raises(ConnectionError):
            talk.call("GET", "key")
    trap.wait()


def test_a_request_is_cut_in_its_middle(proxy: RedisProxy, redis_server: RedisServer) -> None:
    with conversation(proxy.port) as talk:
        talk.call("PING")
        trap = proxy.cut_after(500, "requests")
        with pytest.raises(ConnectionError):
            talk.call("SET", "key", b"x" * 1000)
    trap.wait()
    assert redis_server.call("GET", "key") is None


def test_traffic_is_held_and_let_go(proxy: RedisProxy, redis_server: RedisServer) -> None:
    held = proxy.at(named("SET"), Point.HOLD)
    with conversation(proxy.port) as talk:
        talk.send("SET", "key", "value")
        held.wait()
        with pytest.raises(TimeoutError):
            talk.read(within=0.1)
        assert redis_server.call("GET", "key") is None
        proxy.release()
        assert talk.read() == b"OK"
        proxy.hold()
        talk.send("GET", "key")
        proxy.release()
        assert talk.read() == b"value"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionError):
            talk.call("PING")


def test_a_delayed_command_is_executed_after_its_client_has_gone(proxy: RedisProxy, redis_server: RedisServer) -> None:
    late = proxy.at(named("SET"), Point.DELAY)
    with conversation(proxy.port) as talk:
        talk.send("SET", "key", "late")
        late.wait()
    with conversation(proxy.port) as talk:
        assert talk.call("GET", "key") is None
        late.let_go()
        assert talk.call("GET", "key") == b"late"
