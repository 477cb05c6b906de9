"""Who has our keys, asked of a real cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.exceptions import MovedError

from celeriac.exceptions import OperationalError
from celeriac.storage.redis.errors import breaks_link
from celeriac.storage.redis.location import Location
from servers.cluster import ClusterSetup
from servers.process import free_port
from servers.redis import RedisServer
from servers.waiting import wait_until

from .places import broker_location, port_of, say


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterSetup]:
    """Three masters with a password."""
    with ClusterSetup(password="pw") as cluster:
        yield cluster


@pytest.mark.parametrize("tag", ["{celeriac}", "{a}:", "{b}", "x{c}y", "{d}", "{e}", "{f}"])
def test_the_owner_of_the_hash_tag_is_found(cluster: ClusterSetup, tag: str) -> None:
    location = broker_location(cluster.url, {"global_keyprefix": tag})
    assert location.prefix == tag
    assert port_of(location) == cluster.node_of(f"{tag}queue".encode()).port
    assert say(location, "SET", f"{tag}queue", "value") == b"OK"


def test_any_node_can_be_asked(cluster: ClusterSetup) -> None:
    owner = cluster.node_of(b"{celeriac}x").port
    for node in cluster.nodes:
        url = node.url().replace("redis://", "redis+cluster://").removesuffix("/0")
        assert port_of(broker_location(url)) == owner
    seeds = f"redis+cluster://:pw@127.0.0.1:{free_port()};127.0.0.1:{cluster.nodes[1].port}"
    location = broker_location(seeds)
    assert port_of(location) == owner
    assert "pw" not in location.address


def test_keys_that_move_are_found_again(cluster: ClusterSetup) -> None:
    tag = "{moving}"
    location = broker_location(cluster.url, {"global_keyprefix": tag})
    say(location, "SET", f"{tag}key", "value")
    former = cluster.node_of(tag.encode())
    target = next(node for node in cluster.nodes if node is not former)
    cluster.move(cluster.slot_of(tag.encode()), target)
    with pytest.raises(MovedError) as caught:
        former.call("GET", f"{tag}key")
    assert breaks_link(caught.value)
    assert port_of(location) == target.port
    assert say(location, "GET", f"{tag}key") == b"value"


def test_a_wrong_password_is_told(cluster: ClusterSetup) -> None:
    location = broker_location(cluster.url.replace(":pw@", ":hunter2@"))
    for error in failures_of(location):
        assert "invalid username-password pair" in str(error)
        assert "hunter2" not in repr(error)


def test_nobody_there() -> None:
    for error in failures_of(broker_location(f"redis+cluster://127.0.0.1:{free_port()}")):
        assert "no node of the cluster tells" in str(error)


def failures_of(location: Location) -> list[OperationalError]:
    with pytest.raises(OperationalError) as blocking:
        location.connect()
    with pytest.raises(OperationalError) as waiting:
        asyncio.run(location.aconnect())
    return [blocking.value, waiting.value]


def test_a_server_that_is_no_cluster_is_told(redis_url: str) -> None:
    with pytest.raises(OperationalError, match="cluster support disabled"):
        broker_location(redis_url.replace("redis://", "redis+cluster://")).connect()


def test_after_a_failover_the_former_replica_is_found() -> None:
    with ClusterSetup() as cluster, RedisServer(cluster=True) as replica:
        master = cluster.node_of(b"{celeriac}")
        survivors = [node for node in cluster.nodes if node is not master]
        location = broker_location(";".join(seed_of(node) for node in (master, *survivors)))
        assert port_of(location) == master.port
        make_replica(replica, master)
        say(location, "SET", "{celeriac}key", "value")
        wait_until(lambda: synced(master), "the replica has it all")
        master.kill()
        wait_until(lambda: replica.call("ROLE")[0] == b"master", "the replica is master")
        wait_until(lambda: knows(survivors, replica), "the others know")
        assert port_of(location) == replica.port
        assert say(location, "GET", "{celeriac}key") == b"value"


def seed_of(node: RedisServer) -> str:
    return f"redis+cluster://127.0.0.1:{node.port}"


def make_replica(server: RedisServer, master: RedisServer) -> None:
    server.call("CLUSTER", "MEET", "127.0.0.1", master.port, master.bus_port)
    name = master.call("CLUSTER", "MYID")
    wait_until(lambda: name in server.call("CLUSTER", "NODES"), "the new node knows the master")
    server.call("CLUSTER", "REPLICATE", name)
    wait_until(lambda: b"master_link_status:up" in server.call("INFO", "replication"), "the replica's link")


def synced(master: RedisServer) -> bool:
    """The replica has all that the master has."""
    parts = [line.partition(b":") for line in master.call("INFO", "replication").splitlines()]
    info: dict[bytes, bytes] = {name: value for name, _, value in parts}
    return b"offset=" + info[b"master_repl_offset"] in info.get(b"slave0", b"")


def knows(nodes: list[RedisServer], owner: RedisServer) -> bool:
    """All of them take `owner` for the master of its slots, and the cluster for whole."""
    return all(
        b"cluster_state:ok" in node.call("CLUSTER", "INFO")
        and any(entry[2][1] == owner.port for entry in node.call("CLUSTER", "SLOTS"))
        for node in nodes
    )
