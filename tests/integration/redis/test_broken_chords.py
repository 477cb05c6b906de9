"""Chords that are broken on Redis: what Celery's workers do with them, and that the list of chords stays short."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from celeriac.backends.base import ChordStore
from celeriac.chords import ChordEnd, ChordStart
from celeriac.testing.conformance.support import in_loop, job
from servers.redis import RedisServer

from .chord_support import BODY, DAY, claim_one, own_keys, share, start, store_of
from .support import backend_at, worker_at

KEY = "celery-taskset-meta-g"
LIST = "celeriac:chords"


@pytest.fixture
def chords(redis_url: str) -> Iterator[ChordStore]:
    with backend_at(redis_url) as backend:
        yield store_of(backend)


def told(size: int, group_id: str = "g", ttl: float | None = DAY) -> ChordStart:
    """A chord begins, and its body is told."""
    return msgspec.structs.replace(start(size, group_id, ttl), body=BODY, queue="q")


@in_loop
async def test_no_worker_of_celerys_makes_the_body_of_a_broken_chord(
    chords: ChordStore, redis_server: RedisServer
) -> None:
    """Its worker that adds the last share claims the chord by SET NX, and leaves it alone if that fails."""
    chords.start_chords([told(2)])
    assert chords.break_chord("g", "why", "q")
    assert redis_server.call("SET", f"{KEY}.c", "celery's", "NX", "EX", 10) is None
    claimed = await claim_one(chords)
    assert redis_server.call("SET", f"{KEY}.c", "celery's", "NX", "EX", 10) is None
    assert await chords.end_chords([ChordEnd("g", claimed.claim)]) == []
    assert redis_server.call("GET", f"{KEY}.c") == b"done"
    assert own_keys(redis_server) == redis_server.call("KEYS", LIST) == []


@in_loop
async def test_a_chord_whose_body_celery_makes_is_not_broken(chords: ChordStore, redis_server: RedisServer) -> None:
    chords.start_chords([told(2)])
    await chords.add_shares([share(0)])
    redis_server.call("SET", f"{KEY}.c", "celery's", "EX", 10)
    assert not chords.break_chord("g", "why", "q")
    redis_server.call("DEL", f"{KEY}.s", f"{KEY}.j", f"{KEY}.d", f"{KEY}.c")  # its worker has sent the body
    assert not chords.break_chord("g", "why", "q")
    assert chords.open_chords(10) == []
    assert redis_server.call("EXISTS", LIST) == 0


@in_loop
async def test_a_chord_whose_body_nobody_has_told_is_not_broken(chords: ChordStore, redis_server: RedisServer) -> None:
    redis_server.call("SET", f"{KEY}.s", "4", "EX", 100)
    assert not chords.break_chord("g", "why", "q")
    await chords.add_shares([share(0), share(1), share(2)])
    assert not chords.break_chord("g", "why", "q")
    assert chords.open_chords(10) == []
    assert len(chords.chord_state("g").parts) == 3


def test_nothing_of_a_broken_chord_has_no_end(chords: ChordStore, redis_server: RedisServer) -> None:
    chords.start_chords([told(2), told(2, "h")])
    assert chords.break_chord("g", "why", "q")
    ttls = {key: redis_server.call("TTL", key) for key in redis_server.call("KEYS", "*")}
    assert LIST.encode() in ttls
    assert all(0 < left <= 2 * DAY for left in ttls.values()), ttls


@in_loop
async def test_what_tells_the_body_lasts_as_long_as_the_chord(chords: ChordStore, redis_server: RedisServer) -> None:
    chords.start_chords([told(3, ttl=5.0)])
    await chords.add_shares([share(0)])
    assert redis_server.call("TTL", "celeriac:chord:g") > DAY - 60
    chords.start_chords([told(3, "kept", None)])
    assert [redis_server.call("TTL", key) for key in (LIST, "celeriac:chord:kept")] == [-1, -1]


def test_the_list_stays_short_whoever_ends_chords(chords: ChordStore, redis_server: RedisServer) -> None:
    """Celery's workers know nothing of it: new chords make room. All of these are over as soon as they have begun."""
    chords.start_chords([told(2, "alive", None)])
    for n in range(300):
        chords.start_chords([told(2, f"g{n}", None)])
        redis_server.call("DEL", f"celery-taskset-meta-g{n}.s")
    assert redis_server.call("ZCARD", LIST) < 30
    assert len(own_keys(redis_server)) < 30
    assert [one.group_id for one in chords.open_chords(10)] == ["alive"]
    assert redis_server.call("ZRANGE", LIST, 0, -1) == [b"alive"]


@in_loop
async def test_a_list_that_is_none_holds_nothing_up(chords: ChordStore, redis_server: RedisServer) -> None:
    redis_server.call("SET", LIST, "a text")
    chords.start_chords([told(2)])
    await chords.add_shares([share(0), share(1)])
    claimed = await claim_one(chords)
    assert await chords.end_chords([ChordEnd("g", claimed.claim)]) == []
    assert own_keys(redis_server) == []


@in_loop
async def test_beginning_a_chord_costs_few_commands_and_shares_none(redis_url: str, redis_server: RedisServer) -> None:
    """Counted by the server, inside scripts, too."""

    async def cost(first: ChordStart) -> tuple[int, int]:
        redis_server.call("CONFIG", "RESETSTAT")
        await broker.apublish([job("member")], [first])
        begun = calls(redis_server)
        await store_of(broker).add_shares([share(0, first.group_id)])
        return begun, calls(redis_server) - begun

    async with worker_at(redis_url) as broker:
        await cost(start(9, "warm"))
        plain, with_body = await cost(start(9, "plain")), await cost(told(9, "told"))
        again = await cost(told(9, "again"))
    assert with_body[1] == again[1] == plain[1]
    assert again[0] - plain[0] <= 11


def calls(server: RedisServer) -> int:
    """Commands that the server has run since they were last counted from the beginning."""
    stats: bytes = server.call("INFO", "commandstats")
    return sum(int(line.split(b"calls=")[1].split(b",")[0]) for line in stats.splitlines() if b"calls=" in line)
