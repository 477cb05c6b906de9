"""Short words for tests of locations: where a URL leads, and what a connection says from there."""

from __future__ import annotations

import asyncio
from typing import Any

from celeriac.config import Settings
from celeriac.storage.redis.dialling import atalk, talk
from celeriac.storage.redis.location import Location
from celeriac.storage.redis.reading import read_location


def broker_location(url: str, options: dict[str, Any] | None = None, **settings: Any) -> Location:
    """Of a broker, with short timeouts."""
    short = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    return read_location(url, short | (options or {}), setting="broker_url", settings=Settings(settings))


def results_location(url: str, **settings: Any) -> Location:
    """Of a result store."""
    return read_location(url, {}, setting="result_backend", settings=Settings(settings))


def say(location: Location, *command: str) -> Any:
    """Send one command over a new connection: a blocking one and one for asyncio must come to the same."""
    connection = location.connect()
    try:
        reply = talk(connection, command)
    finally:
        connection.disconnect()
    assert asyncio.run(asay(location, *command)) == reply
    return reply


async def asay(location: Location, *command: str) -> Any:
    """The same for asyncio alone."""
    connection = await location.aconnect()
    try:
        return await atalk(connection, command)
    finally:
        await connection.disconnect()


def port_of(location: Location) -> int:
    """At which port the server says that it listens."""
    return int(say(location, "CONFIG", "GET", "port")[1])
