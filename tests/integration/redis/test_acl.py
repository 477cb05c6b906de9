"""Users with rights of their own: ACLs of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.credentials import CredentialProvider

from celeriac import Celeriac
from celeriac.exceptions import OperationalError
from servers.redis import RedisServer

from .places import broker_location, say


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server on which the user `shop` may touch what begins with `shop:`, and nothing else."""
    with RedisServer(password="pw") as server:
        server.call("ACL", "SETUSER", "shop", "on", ">hunter2", "~shop:*", "&shop:*", "+@all", "-@dangerous", "+info")
        yield server


def test_a_user_logs_in(server: RedisServer) -> None:
    location = broker_location(f"redis://shop:hunter2@127.0.0.1:{server.port}/1")
    assert location.address == f"redis://shop@127.0.0.1:{server.port}/1"
    assert say(location, "ACL", "WHOAMI") == b"shop"


def test_what_a_user_may_not_do_is_told_with_the_cure(server: RedisServer) -> None:
    with (
        Celeriac("acl", broker=f"redis://shop:hunter2@127.0.0.1:{server.port}") as app,
        pytest.raises(OperationalError, match=r"redis://shop@.* does not permit this to the user.*ACL") as caught,
    ):
        app.send_task("tests.nothing", queue="acl")
    assert "hunter2" not in repr(caught.value)


def test_a_worker_without_channels_is_told_at_once(server: RedisServer) -> None:
    server.call("ACL", "SETUSER", "deaf", "on", ">hunter2", "~*", "resetchannels", "+@all")

    async def run() -> None:
        with Celeriac("acl", broker=f"redis://deaf:hunter2@127.0.0.1:{server.port}") as app:
            try:
                await app.broker.open("deaf", lease_seconds=1)
            finally:
                await app.broker.close()

    with pytest.raises(OperationalError, match=r"does not permit this to the user.*channel.*ACL"):
        asyncio.run(run())


def test_a_key_prefix_keeps_an_app_within_its_rights(server: RedisServer) -> None:
    with Celeriac(
        "acl",
        broker=f"redis://shop:hunter2@127.0.0.1:{server.port}",
        broker_transport_options={"global_keyprefix": "shop:"},
    ) as app:
        app.send_task("tests.nothing", queue="acl")
        app.backend.load("unknown")
    assert server.call("LLEN", "shop:acl") == 1


class Rotating(CredentialProvider):
    """A provider whose words are known late."""

    def get_credentials(self) -> tuple[str, str]:
        return "shop", "hunter2"


def test_credentials_of_a_provider(server: RedisServer) -> None:
    path = f"{__name__}.Rotating"
    location = broker_location(f"redis://127.0.0.1:{server.port}?credential_provider={path}")
    assert say(location, "ACL", "WHOAMI") == b"shop"
    with Celeriac(
        "acl",
        broker=f"redis://:pw@127.0.0.1:{server.port}",
        backend=f"redis://127.0.0.1:{server.port}",
        redis_backend_credential_provider=Rotating,
        result_backend_transport_options={"global_keyprefix": "shop:"},
    ) as app:
        app.backend.load("unknown")
