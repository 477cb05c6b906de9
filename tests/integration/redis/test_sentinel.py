"""Who is the master, asked of real sentinels, before and after a failover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.exceptions import OperationalError
from celeriac.storage.redis.location import Location
from servers.process import free_port
from servers.sentinel import SentinelSetup

from .places import broker_location, port_of, say


@pytest.fixture
def setup() -> Iterator[SentinelSetup]:
    """Stores and sentinels with different passwords."""
    with SentinelSetup(password="pw", sentinel_password="word") as setup:
        yield setup


def location_of(setup: SentinelSetup, url: str | None = None, **options: Any) -> Location:
    login = {"master_name": setup.master_name, "sentinel_kwargs": {"password": "word"}}
    return broker_location(url or setup.url, login | options)


def test_the_master_is_found_and_found_again_after_a_failover(setup: SentinelSetup) -> None:
    location = location_of(setup)
    assert "pw" not in location.address
    assert port_of(location) == setup.master.port
    say(location, "SET", "key", "value")
    killed = setup.kill_master()
    assert port_of(location) == setup.master.port != killed.port
    assert say(location, "SET", "key", "after")
    setup.bring_back(killed)
    assert port_of(location) != killed.port


def test_a_sentinel_that_is_gone_is_passed_over(setup: SentinelSetup) -> None:
    master = setup.master.port
    setup.sentinels[0].kill()
    assert port_of(location_of(setup)) == master
    nobody = f"sentinel://:pw@127.0.0.1:{free_port()};" + setup.url.removesuffix("/0")
    assert port_of(location_of(setup, nobody)) == master


def test_a_sentinel_that_sees_too_few_others_is_not_believed(setup: SentinelSetup) -> None:
    assert port_of(location_of(setup, min_other_sentinels=2)) == setup.master.port
    with pytest.raises(OperationalError, match="sees 2 other sentinels, and min_other_sentinels is 3"):
        location_of(setup, min_other_sentinels=3).connect()


def test_what_is_said_when_no_sentinel_helps(setup: SentinelSetup) -> None:
    with pytest.raises(OperationalError, match=r"no sentinel knows a master 'nobody'.*master_name"):
        location_of(setup, master_name="nobody").connect()
    with pytest.raises(OperationalError, match="Authentication required") as caught:
        broker_location(setup.url, {"master_name": setup.master_name}).connect()
    assert "pw" not in str(caught.value)
    absent = f"sentinel://:pw@127.0.0.1:{free_port()}"
    for error in failures_of(location_of(setup, absent)):
        assert "Connection refused" in str(error) or "Connect call failed" in str(error)
        assert "pw" not in repr(error)


def test_a_replica_that_sentinels_take_for_the_master_is_refused(setup: SentinelSetup) -> None:
    """They are behind the times for as long as it takes them to notice."""
    location = location_of(setup)
    master = setup.master
    replica = next(server for server in setup.servers if server is not master)
    master.call("REPLICAOF", "127.0.0.1", replica.port)
    for error in failures_of(location):
        assert "is not the master any more" in str(error)
        assert str(master.port) in str(error)


def failures_of(location: Location) -> list[OperationalError]:
    with pytest.raises(OperationalError) as blocking:
        location.connect()
    with pytest.raises(OperationalError) as waiting:
        asyncio.run(location.aconnect())
    return [blocking.value, waiting.value]
