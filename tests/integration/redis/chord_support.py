"""Short words for the tests of chords beside this file: shares, and the keys of a chord as the captures show them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celeriac.backends.base import Backend, ChordStore
from celeriac.brokers.base import Broker
from celeriac.chords import ChordShare, ChordStart, ClaimedChord
from celeriac.message import Delivery
from celeriac.outcome import Acknowledge, Flow, Settlement
from celeriac.testing.conformance.support import success
from servers.redis import RedisServer

CAPTURES = Path(__file__).parents[2] / "wire" / "captures" / "redis" / "chord_keys"
BODY = b'{"task": "sum", "args": [], "kwargs": {}, "options": {}}'
#: A day, as Celery keeps what belongs to a chord.
DAY = 86400.0


def store_of(owner: Backend | Broker) -> ChordStore:
    """Its chords."""
    assert owner.chords is not None
    return owner.chords


def part_of(task_id: str, value: object, state: str = "SUCCESS") -> bytes:
    """What a member has come to, in Celery's bytes."""
    return json.dumps([1, task_id, state, value]).encode()


def share(
    index: int | None,
    group_id: str = "g",
    *,
    task_id: str | None = None,
    value: object = None,
    queue: str = "q",
    body: bytes = BODY,
    ttl: float | None = DAY,
) -> ChordShare:
    """The share of the member at `index`, whose value is ten times that if nothing is said."""
    name = f"{group_id}-{index}" if task_id is None else task_id
    if value is None and index is not None:
        value = 10 * index
    return ChordShare(group_id, name, index, part_of(name, value), body, "root", queue, ttl)


def start(size: int, group_id: str = "g", ttl: float | None = DAY) -> ChordStart:
    """A chord begins."""
    return ChordStart(group_id, size, ttl)


def settled_member(delivery: Delivery, given: ChordShare) -> Settlement:
    """What nearly all members of a chord settle: done, a result, a share."""
    return Settlement(delivery, Acknowledge(), success(given.task_id), flow=Flow(shares=(given,)))


async def claim_one(chords: ChordStore, seconds: float = 30.0, queue: str = "q") -> ClaimedChord:
    """The one chord that can be claimed."""
    (claimed,) = await chords.claim_chords([queue], 10, seconds)
    return claimed


def capture(name: str, moment: str) -> dict[str, dict[str, Any]]:
    """Keys as Celery left them, by their names."""
    found: dict[str, dict[str, Any]] = json.loads((CAPTURES / f"{name}.json").read_text())[moment]
    return found


def restore(server: RedisServer, keys: dict[str, dict[str, Any]]) -> None:
    """Put captured keys into the server."""
    for key, entry in keys.items():
        match entry["type"]:
            case "string":
                server.call("SET", key, entry["value"])
            case "set":
                server.call("SADD", key, *entry["value"])
            case "zset":
                server.call("ZADD", key, *(part for member, score in entry["value"] for part in (score, member)))
        server.call("EXPIRE", key, entry["ttl"])


def stored_keys(server: RedisServer, pattern: str = "*taskset*") -> dict[str, dict[str, Any]]:
    """What is kept, in the form of the captures."""
    found = {}
    for key in server.call("KEYS", pattern):
        kind = server.call("TYPE", key).decode()
        value: object
        if kind == "string":
            value = server.call("GET", key).decode()
        elif kind == "set":
            value = sorted(member.decode() for member in server.call("SMEMBERS", key))
        elif kind == "list":
            value = [member.decode() for member in server.call("LRANGE", key, 0, -1)]
        else:
            assert kind == "zset", f"{key!r} is a {kind}"
            value = _pairs(server.call("ZRANGE", key, 0, -1, "WITHSCORES"))
        found[key.decode()] = {"type": kind, "ttl": server.call("TTL", key), "value": value}
    return found


def _pairs(flat: Sequence[bytes]) -> list[list[object]]:
    return [[flat[at].decode(), float(flat[at + 1])] for at in range(0, len(flat), 2)]


def same_keys(found: dict[str, dict[str, Any]], wanted: dict[str, dict[str, Any]]) -> bool:
    """The same names, types and values, and nearly the same time to live."""
    return found.keys() == wanted.keys() and all(
        (found[key]["type"], found[key]["value"]) == (entry["type"], entry["value"])
        and abs(found[key]["ttl"] - entry["ttl"]) <= 10
        for key, entry in wanted.items()
    )


def own_keys(server: RedisServer) -> list[bytes]:
    """Ours of chords."""
    found: list[bytes] = sorted(server.call("KEYS", "*celeriac:chord:*") + server.call("KEYS", "*celeriac:joins:*"))
    return found
