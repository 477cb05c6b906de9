"""Chords in a cluster, for a user with few rights, and on a server without memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from celeriac import Celeriac
from celeriac.brokers.base import Broker
from celeriac.chords import ChordEnd
from celeriac.exceptions import OperationalError
from celeriac.message import Delivery
from celeriac.outcome import Acknowledge, Flow, Keep, Settlement
from celeriac.testing.conformance.chord_words import growth
from celeriac.testing.conformance.support import in_loop, job, names, take
from servers.cluster import ClusterSetup
from servers.redis import RedisServer

from .chord_support import claim_one, settled_member, share, start, store_of
from .support import backend_at, fails_in_time, take_all, worker_at

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "use-redis.md"


async def join_one_chord(broker: Broker) -> None:
    """Through all that there is: begin, grow, share, claim, end."""
    chords = store_of(broker)
    await broker.apublish([job("g-0"), job("g-1")], [start(2)])
    held = await take_all(broker, 2)
    grown = Flow(grown=(growth("added"),), shares=(share(1),))
    assert await broker.settle([Settlement(held[1], Acknowledge(), flow=grown)]) == []
    await chords.add_shares([share(None, task_id="added")])
    assert await broker.settle([settled_member(held[0], share(0))]) == []
    assert await send_body(broker, held[0]) == []
    assert names(await take(broker, 10, "bodies")) == ["body"]


async def send_body(broker: Broker, member: Delivery) -> list[Settlement]:
    claimed = await claim_one(store_of(broker))
    state = await store_of(broker).achord_state("g")
    assert (len(state.parts), state.is_claimed) == (state.size, True)
    flow = Flow(ends=(ChordEnd("g", claimed.claim),))
    return await broker.settle([Settlement(member, Keep(), None, (job("body", "bodies"),), fenced=False, flow=flow)])


@in_loop
async def test_chords_in_a_cluster() -> None:
    with ClusterSetup() as cluster:
        async with worker_at(cluster.url) as broker:
            await join_one_chord(broker)
        with backend_at(cluster.url) as backend:
            chords = store_of(backend)
            await chords.astart_chords([start(1), start(1, "h")])
            await chords.add_shares([share(0), share(0, "h")])
            claimed = await chords.claim_chords(["q", "p"], 10, 30.0)
            assert await chords.end_chords([ChordEnd(one.group_id, one.claim) for one in claimed]) == []
            assert [one.group_id for one in claimed] == ["g", "h"]
            await backend.asave_group("g", b"[]", 10.0)
            assert backend.load_group("g") == b"[]"


@in_loop
async def test_the_rights_that_the_docs_name_are_enough() -> None:
    found = re.search(r"^ACL SETUSER proj [^`]*", HOW_TO.read_text(), re.MULTILINE)
    assert found is not None
    with RedisServer() as server:
        server.call(*found[0].split())
        url = f"redis://proj:secret@127.0.0.1:{server.port}"
        with Celeriac("acl", broker=url, broker_transport_options={"global_keyprefix": "proj:"}) as app:
            assert app.broker.stores_results_of(app.backend)
            app.backend.save_group("saved", b"[]", 10.0)
            await app.broker.open("worker", lease_seconds=30)
            await join_one_chord(app.broker)
            chords = store_of(app.backend)
            await chords.add_shares(
                [share(0, "for ever", ttl=None), share(1, "early")], [growth("x", group_id="for ever")]
            )
            await chords.astart_chords([start(1, "for ever", None), start(1, "early")])
            assert [one.group_id for one in await chords.claim_chords(["q"], 10, 30.0)] == ["early"]
            await app.broker.close()


@in_loop
async def test_chords_that_have_begun_are_finished_without_memory(own_redis: RedisServer) -> None:
    async with worker_at(own_redis.url()) as broker:
        chords = store_of(broker)
        broker.publish([job("g-0")], [start(2)])
        held = await take_all(broker, 1)
        own_redis.call("SET", "ballast", b"x" * 3_000_000)
        used = re.search(rb"used_memory:(\d+)", own_redis.call("INFO", "memory"))
        assert used is not None
        own_redis.call("CONFIG", "SET", "maxmemory", int(used[1]) - 1_000_000)
        assert "maxmemory" in await fails_in_time(broker.apublish([job("new")], [start(1, "new")]))
        assert "maxmemory" in await fails_in_time(broker.apublish([], [start(1, "new")]))
        with pytest.raises(OperationalError, match="maxmemory"):
            chords.start_chords([start(1, "new")])
        assert await broker.settle([settled_member(held[0], share(0))]) == []
        await chords.add_shares([share(1)])
        assert await send_body(broker, held[0]) == []
        own_redis.call("CONFIG", "SET", "maxmemory", 0)
        assert names(await take(broker, 10, "bodies")) == ["body"]
        assert chords.chord_state("new").size is None
