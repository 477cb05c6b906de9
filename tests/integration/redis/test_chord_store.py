"""Chords in Redis lie where Celery's workers look for them, in Celery's bytes; ours beside them leave nothing there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from celeriac.backends import open_backend
from celeriac.backends.base import ChordStore
from celeriac.backends.redis import RedisBackend
from celeriac.chords import ChordEnd, ChordShare, ChordState, ClaimedChord
from celeriac.exceptions import StoreRefused
from celeriac.testing.conformance.chord_words import growth
from celeriac.testing.conformance.support import in_loop
from conformance.redis_time import ServerClock
from servers.redis import RedisServer

from .chord_support import (
    BODY,
    DAY,
    capture,
    claim_one,
    own_keys,
    part_of,
    restore,
    same_keys,
    share,
    start,
    store_of,
    stored_keys,
)
from .results_support import make_backend

#: Of the captures.
MIDWAY = "b023c061-034d-4188-a2ae-8682bcabc635"
MIDWAY_FIRST = "38011114-2ef4-475e-9bd1-4094472bb0d9"
GROWN = "a92018c8-bd5f-4401-adb0-b405dc12a6e0"
GROWN_MEMBERS = ("0272b16b-ef4f-4eb3-bfaa-46dc55f89be1", "63b46584-2822-4d6d-90da-77119046276e")

KEY = "celery-taskset-meta-g"


@pytest.fixture
def backend(redis_url: str) -> Iterator[RedisBackend]:
    made = make_backend(redis_url)
    yield made
    made.disconnect()


@pytest.fixture
def chords(backend: RedisBackend) -> ChordStore:
    return store_of(backend)


def member(group_id: str, task_id: str, index: int | None, value: object) -> ChordShare:
    return share(index, group_id, task_id=task_id, value=value)


@in_loop
async def test_a_chord_that_celery_has_half_done_is_completed(chords: ChordStore, redis_server: RedisServer) -> None:
    restore(redis_server, capture("midway", "keys_midway"))
    await chords.add_shares([member(MIDWAY, "late", 1, 4)])
    claimed = await claim_one(chords)
    assert (claimed.group_id, claimed.claims, claimed.body, claimed.task_id) == (MIDWAY, 1, BODY, "late")
    assert chords.chord_state(MIDWAY) == ChordState(MIDWAY, 2, (part_of(MIDWAY_FIRST, 2), part_of("late", 4)), True)
    assert await chords.end_chords([ChordEnd(MIDWAY, claimed.claim)]) == []
    assert same_keys(stored_keys(redis_server), capture("midway", "keys_done"))
    assert own_keys(redis_server) == []


@in_loop
async def test_a_half_done_chord_is_as_celery_expects_it(chords: ChordStore, redis_server: RedisServer) -> None:
    await chords.astart_chords([start(2, MIDWAY)])
    await chords.add_shares([member(MIDWAY, MIDWAY_FIRST, 0, 2)])
    assert same_keys(stored_keys(redis_server), capture("midway", "keys_midway"))
    assert own_keys(redis_server) == []
    assert await chords.claim_chords(["q"], 10, 30.0) == []


@in_loop
async def test_added_members_are_counted_as_by_celery(chords: ChordStore, redis_server: RedisServer) -> None:
    await chords.astart_chords([start(2, GROWN)])
    first, second = GROWN_MEMBERS
    await chords.add_shares(
        [member(GROWN, first, 0, 10), member(GROWN, second, 0, 1)], grown=[growth("third", group_id=GROWN)]
    )
    assert same_keys(stored_keys(redis_server), capture("added", "keys_midway"))
    assert chords.chord_state(GROWN).size == 3
    await chords.add_shares([member(GROWN, "third", 1, 2)])
    assert (await claim_one(chords)).group_id == GROWN


@in_loop
async def test_a_member_that_ran_at_celery_and_here_counts_once(chords: ChordStore, redis_server: RedisServer) -> None:
    restore(redis_server, capture("midway", "keys_midway"))
    before = stored_keys(redis_server)
    await chords.add_shares([member(MIDWAY, MIDWAY_FIRST, 0, "another value")])
    assert same_keys(stored_keys(redis_server), before)
    assert await chords.claim_chords(["q"], 10, 30.0) == []


@in_loop
async def test_a_member_that_ran_at_an_old_celery_counts_once(chords: ChordStore, redis_server: RedisServer) -> None:
    """Before 5.7 they note parts alone."""
    restore(redis_server, capture("midway", "keys_midway"))
    redis_server.call("DEL", f"celery-taskset-meta-{MIDWAY}.d")
    await chords.add_shares([member(MIDWAY, MIDWAY_FIRST, 0, 2)])
    assert chords.chord_state(MIDWAY).parts == (part_of(MIDWAY_FIRST, 2),)
    await chords.add_shares([member(MIDWAY, "other", 1, 2)])
    assert (await claim_one(chords)).group_id == MIDWAY


@in_loop
async def test_parts_come_by_their_places_and_those_without_come_last(chords: ChordStore) -> None:
    await chords.astart_chords([start(12)])
    await chords.add_shares([share(None, task_id="added"), *(share(n) for n in reversed(range(11)))])
    parts = [json.loads(part) for part in (await chords.achord_state("g")).parts]
    assert [part[1] for part in parts] == [*(f"g-{n}" for n in range(11)), "added"]


@pytest.mark.parametrize("lead", [b"[", b"\x94", b"\x80"], ids=["text", "msgpack", "pickle"])
@in_loop
async def test_one_task_can_be_in_a_header_three_times(chords: ChordStore, lead: bytes) -> None:
    """Equal bytes are one member of a sorted set: they must differ, and mean the same."""
    part = lead + b"1]"
    shares = [ChordShare("g", "same", index, part, BODY, None, "q", DAY) for index in range(3)]
    await chords.astart_chords([start(3)])
    await chords.add_shares(shares)
    claimed = await claim_one(chords)
    assert claimed.root_id is None
    parts = chords.chord_state("g").parts
    assert len(parts) == 3
    if lead == b"\x94":
        assert parts == (part, b"\xdc\x00\x04" + part[1:], b"\xdd\x00\x00\x00\x04" + part[1:])
    else:
        assert parts == (part, part + b" ", part + b"  ")


@in_loop
async def test_unordered_chords_are_lists(redis_url: str, redis_server: RedisServer) -> None:
    with ExitStack() as stack:
        backend = open_backend(redis_url, options={"result_chord_ordered": False})
        stack.callback(backend.disconnect)
        chords = store_of(backend)
        await chords.astart_chords([start(2)])
        await chords.add_shares([share(1)])
        await chords.add_shares([share(1)])
        await chords.add_shares([share(0)])
        assert stored_keys(redis_server)[f"{KEY}.j"]["type"] == "list"
        assert chords.chord_state("g").parts == (share(1).part, share(0).part)
        assert (await claim_one(chords)).group_id == "g"


@in_loop
async def test_what_is_there_already_says_how_parts_are_kept(redis_url: str, redis_server: RedisServer) -> None:
    """Two fleets that do not agree on `result_chord_ordered` finish what they have in common."""
    with ExitStack() as stack:
        for ordered in (True, False):
            backend = make_backend(redis_url, result_chord_ordered=ordered)
            stack.callback(backend.disconnect)
            other = make_backend(redis_url, result_chord_ordered=not ordered)
            stack.callback(other.disconnect)
            name = f"g-{ordered}"
            await store_of(backend).astart_chords([start(2, name)])
            await store_of(backend).add_shares([share(0, name)])
            await store_of(other).add_shares([share(1, name)])
            claimed = await claim_one(store_of(other))
            assert store_of(backend).chord_state(name).parts == (share(0, name).part, share(1, name).part)
            assert await store_of(backend).end_chords([ChordEnd(name, claimed.claim)]) == []
    assert own_keys(redis_server) == []


@in_loop
async def test_a_chord_that_celery_has_claimed_is_left_to_it(chords: ChordStore, redis_server: RedisServer) -> None:
    await chords.astart_chords([start(1), start(1, "h")])
    redis_server.call("SET", f"{KEY}.c", "0123456789abcdef", "EX", 10)
    await chords.add_shares([share(0)])
    assert own_keys(redis_server) == []
    redis_server.call("DEL", f"{KEY}.c")
    await chords.add_shares([share(0)])  # it came again, and nobody makes the body
    redis_server.call("SET", f"{KEY}.c", "0123456789abcdef", "PX", 200)
    assert await chords.claim_chords(["q"], 10, 30.0) == []
    assert chords.chord_state("g").is_claimed
    claimed: list[ClaimedChord] = []
    async with asyncio.timeout(20):
        while not claimed:
            claimed = await chords.claim_chords(["q"], 10, 30.0)
    assert claimed[0].group_id == "g"
    assert redis_server.call("GET", f"{KEY}.c") == claimed[0].claim.encode()


@pytest.mark.parametrize("left", ["done", "failed"])
@in_loop
async def test_what_celery_has_ended_meanwhile_is_not_claimed(
    chords: ChordStore, redis_server: RedisServer, left: str
) -> None:
    """A member came to Celery again when the chord was complete: its worker makes the body, or fails it."""
    await chords.astart_chords([start(1)])
    await chords.add_shares([share(0)])
    assert len(own_keys(redis_server)) == 2
    redis_server.call("DEL", f"{KEY}.s")
    if left == "done":
        redis_server.call("DEL", f"{KEY}.j", f"{KEY}.d")
        redis_server.call("SET", f"{KEY}.c", "done", "EX", 300)
    assert await chords.claim_chords(["q"], 10, 30.0) == []
    assert own_keys(redis_server) == []


@in_loop
async def test_a_chord_whose_time_is_over_leaves_the_index(chords: ChordStore, redis_server: RedisServer) -> None:
    await chords.astart_chords([start(1), start(1, "h")])
    await chords.add_shares([share(0, ttl=None), share(0, "h")])
    redis_server.call("DEL", "celeriac:chord:g")
    assert [one.group_id for one in await chords.claim_chords(["q"], 10, 30.0)] == ["h"]
    assert redis_server.call("ZRANGE", "celeriac:joins:q", 0, -1) == [b"h"]


@in_loop
async def test_nothing_of_a_chord_has_no_end(chords: ChordStore, redis_server: RedisServer) -> None:
    await chords.astart_chords([start(2), start(1, "h")])
    await chords.add_shares([share(0)], grown=[growth("added"), growth("x", group_id="unknown")])
    await chords.add_shares([share(0, "h"), share(1, "late"), share(1)])
    await chords.add_shares([share(None, task_id="added")])
    claimed = await chords.claim_chords(["q"], 10, 30.0)
    assert {one.group_id for one in claimed} == {"g", "h"}
    ttls = {key: redis_server.call("TTL", key) for key in redis_server.call("KEYS", "*")}
    assert all(0 < left <= DAY for left in ttls.values()), ttls


@in_loop
async def test_what_is_kept_for_good_stays(chords: ChordStore, redis_server: RedisServer) -> None:
    await chords.astart_chords([start(1, ttl=None), start(1, "h")])
    await chords.add_shares([share(0, "h"), share(0, ttl=None)])
    for key in (f"{KEY}.s", f"{KEY}.j", f"{KEY}.d", "celeriac:chord:g", "celeriac:joins:q"):
        assert redis_server.call("TTL", key) == -1, key


@in_loop
async def test_a_saved_group_lasts_as_long_as_its_chord(
    backend: RedisBackend, chords: ChordStore, redis_server: RedisServer
) -> None:
    backend.save_group("g", b"{}", 10)
    backend.save_group("h", b"{}", 2 * DAY)
    backend.save_group("i", b"{}", None)
    await chords.add_shares([share(0), share(0, "h"), share(0, "i")])
    left = [redis_server.call("TTL", f"celery-taskset-meta-{name}") for name in "ghi"]
    assert left[0] > DAY - 10
    assert left[1] > 2 * DAY - 10
    assert left[2] == -1


@in_loop
async def test_a_frozen_chord_that_is_applied_again_is_a_new_run(chords: ChordStore) -> None:
    for _ in range(2):
        await chords.astart_chords([start(1)])
        await chords.add_shares([share(0)])
        claimed = await claim_one(chords)
        assert claimed.claims == 1
        assert await chords.end_chords([ChordEnd("g", claimed.claim)]) == []
        await chords.add_shares([share(0)])
        assert chords.chord_state("g") == ChordState("g", None)


@in_loop
async def test_a_claim_holds_beyond_its_time_while_nobody_else_has_it(
    chords: ChordStore, redis_server: RedisServer
) -> None:
    await chords.astart_chords([start(1)])
    await chords.add_shares([share(0)])
    claimed = await claim_one(chords)
    redis_server.call("DEL", f"{KEY}.c")
    assert await chords.end_chords([ChordEnd("g", claimed.claim)]) == []
    redis_server.call("DEL", f"{KEY}.c")
    assert await chords.end_chords([ChordEnd("g", claimed.claim)]) == [ChordEnd("g", claimed.claim)]


@in_loop
async def test_a_clock_that_is_set_back_does_not_keep_chords(redis_url: str, redis_server: RedisServer) -> None:
    clock = ServerClock(redis_server)
    backend = make_backend(redis_url, clock=clock)
    chords = store_of(backend)
    try:
        await chords.astart_chords([start(1), start(1, "h")])
        await chords.add_shares([share(0)])
        await claim_one(chords)
        await chords.add_shares([share(0, "h")])
        clock.set_back(100_000)
        assert await chords.claim_chords(["q"], 10, 30.0) == []
        clock.advance(30)
        claimed = await chords.claim_chords(["q"], 10, 30.0)
        assert {one.group_id: one.claims for one in claimed} == {"g": 2, "h": 1}
    finally:
        backend.disconnect()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (f"{KEY}.j", "string"),
        *((f"{KEY}{part}", "list") for part in (".d", ".s", ".c", ".t")),
        ("celeriac:chord:g", "list"),
        ("celeriac:joins:q", "list"),
    ],
)
@in_loop
async def test_a_key_of_another_kind_is_told_before_anything_is_written(
    chords: ChordStore, redis_server: RedisServer, key: str, kind: str
) -> None:
    redis_server.call(*(("SET", key, "x") if kind == "string" else ("RPUSH", key, "x")))
    with pytest.raises(StoreRefused, match=key.replace(".", r"\.")):
        await chords.add_shares([share(0, "other"), share(0)])
    assert redis_server.call("KEYS", "*") == [key.encode()]


@in_loop
async def test_a_chord_that_can_not_be_joined_does_not_stand_in_the_way(
    chords: ChordStore, redis_server: RedisServer
) -> None:
    await chords.astart_chords([start(1), start(1, "h")])
    await chords.add_shares([share(0), share(0, "h")])
    redis_server.call("DEL", f"{KEY}.d")
    redis_server.call("RPUSH", f"{KEY}.d", "x")
    assert [one.group_id for one in await chords.claim_chords(["q"], 10, 30.0)] == ["h"]


@in_loop
async def test_ids_of_others_may_be_odd(chords: ChordStore) -> None:
    odd = "\ud800 : ü\n"
    await chords.astart_chords([start(1, odd)])
    await chords.add_shares([ChordShare(odd, odd, 0, b"[]", BODY, odd, "q", DAY)])
    claimed = await claim_one(chords)
    assert (claimed.group_id, claimed.task_id, claimed.root_id) == (odd, odd, odd)
    assert await chords.end_chords([ChordEnd(odd, claimed.claim)]) == []


@pytest.mark.parametrize("prefix", ["", "shop:"])
def test_groups_are_saved_as_by_celery(redis_url: str, redis_server: RedisServer, prefix: str) -> None:
    transport: dict[str, Any] = {"global_keyprefix": prefix} if prefix else {}
    backend = make_backend(redis_url, transport=transport)
    key = f"{prefix}celery-taskset-meta-g"
    try:
        with redis_server.connection() as listener:
            listener.call("SUBSCRIBE", key)
            backend.save_group("g", b'{"result": []}', 86400.0)
            assert listener.read() == [b"message", key.encode(), b'{"result": []}']
        assert redis_server.call("GET", key) == b'{"result": []}'
        assert 86390 < redis_server.call("TTL", key) <= 86400
        assert backend.load_group("g") == b'{"result": []}'
        assert backend.load_group("unknown") is None
        backend.save_group("g", b"kept", None)
        assert redis_server.call("TTL", key) == -1
        backend.forget_group("g")
        backend.forget_group("g")
        assert backend.load_group("g") is None
    finally:
        backend.disconnect()


@in_loop
async def test_groups_in_event_loops(backend: RedisBackend) -> None:
    await backend.asave_group("g", b"members", 10.0)
    assert await backend.aload_group("g") == b"members"
    await backend.aforget_group("g")
    assert await backend.aload_group("g") is None


@in_loop
@pytest.mark.parametrize("is_evicted", [False, True], ids=["expired", "evicted"])
async def test_a_claim_of_a_chord_that_is_gone_is_not_renewed_and_leaves_nothing_behind(
    chords: ChordStore, redis_server: RedisServer, is_evicted: bool
) -> None:
    await chords.astart_chords([start(1)])
    await chords.add_shares([share(0)])
    end = ChordEnd("g", (await claim_one(chords)).claim)
    others = () if is_evicted else (f"{KEY}.s", f"{KEY}.j", f"{KEY}.d", "celeriac:joins:q")
    redis_server.call("DEL", "celeriac:chord:g", *others)
    left = redis_server.call("PTTL", f"{KEY}.c")
    assert await chords.renew_claims([end], DAY) == [end]
    assert 0 < redis_server.call("PTTL", f"{KEY}.c") <= left
    assert redis_server.call("EXISTS", "celeriac:chord:g") == 0
