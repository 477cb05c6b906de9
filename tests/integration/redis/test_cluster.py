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
