"""Celery's environment, the servers, and one pair of workers for each transport that most tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from scripts import environments

from interop.pairs import Direction, Pair, run_pair
from interop.sides import Place, other
from interop.transports import TRANSPORTS, RabbitTransport, RedisTransport, Transport, TransportName
from servers.redis import RedisServer

#: The version that all of this is proved for.
CELERY: Final = "5.7.0"
#: All serialisers and compressions that it takes. Its extra for zstd names a package that it does not use.
_REQUIREMENTS: Final = (
    f"celery[redis,msgpack,yaml,brotli]=={CELERY}",
    "backports.zstd; python_version < '3.14'",
)
#: Databases from here on are those of the pairs.
_FIRST_PAIR_DB: Final = 8
_HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test may have to wait until Celery is installed."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def celery_environment() -> environments.Environment:
    """Where the real Celery is installed: made by the first test that needs it."""
    name = f"celery-{CELERY}-{sys.implementation.cache_tag}{sys.abiflags}"
    try:
        return environments.ensure(environments.HOME / name, _REQUIREMENTS, timeout=120)
    except RuntimeError as error:
        line = f"pip can not install it: {str(error).splitlines()[-1]}"
        if os.environ.get("CELERIAC_REQUIRE_SERVERS", "0") not in {"", "0"}:
            pytest.fail(f"no Celery to test against (CELERIAC_REQUIRE_SERVERS is set): {line}", pytrace=False)
        pytest.skip(f"no Celery to test against: {line}")


@pytest.fixture(scope="session")
def interop_server() -> Iterator[RedisServer]:
    """A server of these tests' own."""
    with RedisServer() as server:
        yield server


#: What is about messages is the same on both brokers; plain calls and what is about RabbitMQ run there always.
_ALSO_ON_RABBITMQ = [pytest.param(name, marks=pytest.mark.long) for name in ("classic", "quorum")]


@pytest.fixture(scope="session", params=["redis", *_ALSO_ON_RABBITMQ])
def pair(
    request: pytest.FixtureRequest,
    interop_server: RedisServer,
    celery_environment: environments.Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    """Both sides with default settings; Celery's worker with gossip, mingle and heartbeats, as it comes."""
    name: TransportName = request.param
    db, folder = TRANSPORTS.index(name) + _FIRST_PAIR_DB, tmp_path_factory.mktemp(f"pair-{name}")
    transport: Transport
    if name == "redis":
        transport = RedisTransport(interop_server, db)
    else:  # started only where a test needs it
        transport = RabbitTransport(request.getfixturevalue("rabbit_server"), name)
    with run_pair(Place(interop_server, db, celery_environment, folder, transport=transport)) as running:
        yield running
    transport.close()


@pytest.fixture(params=["celery", "celeriac"], ids=["celery-to-celeriac", "celeriac-to-celery"])
def direction(request: pytest.FixtureRequest, pair: Pair) -> Direction:
    """Each of the two."""
    return Direction(pair, request.param, other(request.param))
