"""Settlements of workflows on Redis: one step, fenced, written once however often a reply is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from celeriac.backends import open_backend
from celeriac.backends.redis.chords import CLAIM_CHORDS
from celeriac.brokers import open_broker
from celeriac.brokers.base import Broker
from celeriac.brokers.redis import scripts
from celeriac.chords import ChordEnd, ChordState, ClaimedChord
from celeriac.exceptions import StoreRefused
from celeriac.message import Delivery
from celeriac.outcome import Acknowledge, Bury, Flow, Keep, Settlement
from celeriac.testing.conformance.chord_words import growth
from celeriac.testing.conformance.support import failure, in_loop, job, names, success, take
from servers.proxy import Point, RedisProxy
from servers.redis import RedisServer

from .chord_support import DAY, claim_one, own_keys, settled_member, share, start, store_of, stored_keys
from .support import PATIENCE, backend_at, fails_in_time, load_scripts, take_all, try_on, worker_at

either_way = pytest.mark.parametrize("point", [Point.CUT_BEFORE, Point.CUT_AFTER], ids=["request", "reply"])


@pytest.fixture
def proxy(redis_server: RedisServer, redis_url: str) -> Iterator[RedisProxy]:
    load_scripts(redis_server)
    redis_server.call("SCRIPT", "LOAD", CLAIM_CHORDS.text)
    assert redis_url
    with RedisProxy(redis_server.port) as running:
        yield running


def runs_settling(command: Sequence[bytes]) -> bool:
    """The command that runs settle.lua."""
    return command[0].upper() == b"EVALSHA" and command[1] == scripts.SETTLE.sha.encode()


async def taken(broker: Broker, *wanted: str) -> list[Delivery]:
    await broker.apublish([job(name) for name in wanted])
    found = await take_all(broker, len(wanted))
    assert names(found) == list(wanted)
    return found


def members(count: int) -> list[str]:
    return [f"g-{index}" for index in range(count)]


@in_loop
async def test_all_of_a_flow_is_one_settlement(redis_url: str, redis_server: RedisServer) -> None:
    async with worker_at(redis_url) as broker:
        chords = store_of(broker)
        (first, second) = await taken(broker, "one", "two")
        flow = Flow(
            results=(failure("never"),),
            starts=(start(2, "inner"),),
            grown=(growth("added", group_id="outer"),),
            shares=(share(0, "outer"), share(1, "outer"), share(None, "outer", task_id="added")),
        )
        await chords.astart_chords([start(2, "outer")])
        follow_ups = (job("next"), job("later", not_before=4e9))
        written = Settlement(first, Acknowledge(), success("one"), follow_ups, flow=flow)
        plain = Settlement(second, Acknowledge(), success("two"))
        assert await broker.settle([written, plain]) == []
        assert chords.chord_state("inner") == ChordState("inner", 2)
        assert chords.chord_state("outer").size == 3
        assert names(await take(broker)) == ["next"]
        claimed = await claim_one(chords)
        assert (claimed.group_id, claimed.task_id) == ("outer", "added")
        with backend_at(redis_url) as backend:
            assert {record.task_id for record in backend.load_many(["one", "two", "never"])} == {"one", "two", "never"}
        assert len(redis_server.call("ZRANGE", "celeriac:due:q", 0, -1)) == 1


@pytest.mark.parametrize("action", [Acknowledge(), Bury("no")], ids=["acknowledge", "bury"])
@in_loop
async def test_a_lost_lease_writes_nothing_of_a_flow(redis_url: str, redis_server: RedisServer, action: object) -> None:
    assert isinstance(action, Acknowledge | Bury)
    async with worker_at(redis_url) as broker:
        (delivery,) = await taken(broker, "g-0")
        assert await broker.settle([Settlement(delivery, Acknowledge())]) == []
        flows = [
            Flow(shares=(share(0),)),
            Flow(shares=(share(0),), grown=(growth("added"),)),
            Flow(results=(success("other"),), starts=(start(1),)),
        ]
        late = [Settlement(delivery, action, success("g-0"), flow=flow) for flow in flows]
        assert await broker.settle(late) == late
        assert stored_keys(redis_server, "celery-task*") == {}
        assert own_keys(redis_server) == []


@either_way
@in_loop
async def test_shares_that_are_settled_again_count_once(proxy: RedisProxy, point: Point) -> None:
    async with worker_at(proxy.url()) as broker:
        chords = store_of(broker)
        deliveries = await taken(broker, *members(3))
        await chords.astart_chords([start(3)])
        settlements = [settled_member(delivery, share(index)) for index, delivery in enumerate(deliveries)]
        cut = proxy.at(runs_settling, point)
        await fails_in_time(broker.settle(settlements))
        cut.wait()
        assert await try_on(lambda: broker.settle(settlements)) == []
        assert (await claim_one(chords)).claims == 1
        assert await chords.claim_chords(["q"], 10, 30.0) == []
        assert len(chords.chord_state("g").parts) == 3


@either_way
@in_loop
async def test_a_body_whose_answer_is_lost_is_sent_once(proxy: RedisProxy, point: Point) -> None:
    """What joins a chord holds no lease: the batch's memory tells that it is done, not the claim that is gone."""
    async with worker_at(proxy.url()) as broker:
        chords = store_of(broker)
        (delivery,) = await taken(broker, "g-0")
        await chords.astart_chords([start(1)])
        assert await broker.settle([settled_member(delivery, share(0))]) == []
        claimed = await claim_one(chords)
        join = Settlement(
            delivery,
            Keep(),
            None,
            (job("body", "bodies"),),
            fenced=False,
            flow=Flow(ends=(ChordEnd("g", claimed.claim),)),
        )
        cut = proxy.at(runs_settling, point)
        await fails_in_time(broker.settle([join]))
        cut.wait()
        assert await try_on(lambda: broker.settle([join])) == []
        assert await broker.settle([join]) == [join]
        assert names(await take(broker, 10, "bodies")) == ["body"]
        assert await chords.claim_chords(["q"], 10, 30.0) == []


@either_way
@in_loop
async def test_a_claim_whose_answer_is_lost_runs_out(proxy: RedisProxy, point: Point) -> None:
    """Nobody knows it; the chord is claimed anew, by anybody."""
    async with worker_at(proxy.url()) as broker:
        chords = store_of(broker)
        (delivery,) = await taken(broker, "g-0")
        await chords.astart_chords([start(1)])
        assert await broker.settle([settled_member(delivery, share(0))]) == []
        cut = proxy.at(lambda command: CLAIM_CHORDS.sha.encode() in command, point)
        await fails_in_time(chords.claim_chords(["q"], 10, 0.2))
        cut.wait()
        claimed: list[ClaimedChord] = []
        async with asyncio.timeout(PATIENCE):
            while not claimed:
                claimed = await try_on(lambda: chords.claim_chords(["q"], 10, 30.0))
        assert claimed[0].claims == (1 if point is Point.CUT_BEFORE else 2)
        assert await chords.end_chords([ChordEnd("g", claimed[0].claim)]) == []


@either_way
@in_loop
async def test_a_header_whose_answer_is_lost_has_its_chord_if_it_is_there(proxy: RedisProxy, point: Point) -> None:
    async with worker_at(proxy.url()) as broker:
        cut = proxy.at(lambda command: scripts.PUBLISH.sha.encode() in command, point)
        await fails_in_time(broker.apublish([job("g-0"), job("g-1")], [start(2)]))
        cut.wait()
        arrived = await try_on(lambda: take(broker))
        state = await store_of(broker).achord_state("g")
        assert (len(arrived), state.size) == ((0, None) if point is Point.CUT_BEFORE else (2, 2))


@in_loop
async def test_who_joins_under_an_old_claim_writes_nothing(redis_url: str, redis_server: RedisServer) -> None:
    async with worker_at(redis_url, "a") as slow, worker_at(redis_url, "b") as fast:
        (delivery,) = await taken(slow, "g-0")
        await store_of(slow).astart_chords([start(1)])
        assert await slow.settle([settled_member(delivery, share(0))]) == []
        claims = [await claim_one(store_of(slow), 0.0)]
        async with asyncio.timeout(PATIENCE):
            while len(claims) < 2:  # the claim that has run out is claimed anew, as soon as the server says so
                claims += await store_of(fast).claim_chords(["q"], 1, 30.0)
        assert [claim.claims for claim in claims] == [1, 2]

        def joined(number: int, body: str, fenced: bool) -> Settlement:
            flow = Flow(
                results=(success(f"result of {body}"),),
                starts=(start(1, body),),
                shares=(share(0, f"group of {body}"),),
                ends=(ChordEnd("g", claims[number].claim),),
            )
            action = Acknowledge() if fenced else Keep()
            return Settlement(delivery, action, success(body), (job(body, "bodies"),), fenced=fenced, flow=flow)

        late = [joined(0, "late", fenced=False), joined(0, "late", fenced=True)]
        assert await slow.settle(late) == late
        assert await fast.settle([joined(1, "fast", fenced=False), joined(1, "again", fenced=False)]) != []
        assert names(await take(fast, 10, "bodies")) == ["fast"]
        assert {key.decode() for key in redis_server.call("KEYS", "celery-task-meta-*")} == {
            f"celery-task-meta-{name}" for name in ("g-0", "fast", "result of fast")
        }
        assert store_of(fast).chord_state("fast").size == 1
        assert store_of(fast).chord_state("late").size is None


@in_loop
async def test_an_unfenced_dead_letter_with_an_old_claim_is_not_written(redis_url: str) -> None:
    async with worker_at(redis_url) as broker:
        (delivery,) = await taken(broker, "g-0")
        buried = Settlement(delivery, Bury("no"), fenced=False, flow=Flow(ends=(ChordEnd("g", "unknown"),)))
        assert await broker.settle([buried]) == [buried]
        assert await broker.dead_letters() == []


@in_loop
async def test_of_two_workers_with_the_last_shares_one_gets_the_chord(redis_url: str) -> None:
    rounds = 20
    async with worker_at(redis_url, "a") as one, worker_at(redis_url, "b") as other:
        chords = store_of(one)
        for number in range(rounds):
            group = f"g{number}"
            await chords.astart_chords([start(2, group)])
            await one.apublish([job(f"{group}-0"), job(f"{group}-1")])
            (first,), (second,) = await take(one, 1), await take(other, 1)

            async def finish(broker: Broker, delivery: Delivery, index: int, group: str = group) -> list[str]:
                assert await broker.settle([settled_member(delivery, share(index, group))]) == []
                return [claimed.group_id for claimed in await store_of(broker).claim_chords(["q"], 10, 30.0)]

            found = await asyncio.gather(finish(one, first, 0), finish(other, second, 1))
            assert sorted(found) == [[], [group]]


@in_loop
async def test_a_member_that_ran_twice_counts_once(redis_url: str) -> None:
    """Its first worker was too late with what it wrote; then it comes again without a lease."""
    async with worker_at(redis_url) as broker:
        chords = store_of(broker)
        first, again = await taken(broker, "g-0", "again")
        await chords.astart_chords([start(2)])
        assert await broker.settle([settled_member(first, share(0)), settled_member(again, share(0, value=7))]) == []
        assert chords.chord_state("g").parts == (share(0).part,)
        assert await chords.claim_chords(["q"], 10, 30.0) == []


@in_loop
async def test_late_shares_of_a_chord_that_is_over_change_nothing(redis_url: str, redis_server: RedisServer) -> None:
    async with worker_at(redis_url) as broker:
        chords = store_of(broker)
        deliveries = await taken(broker, "g-0", "late", "later")
        await chords.astart_chords([start(1)])
        await broker.settle([settled_member(deliveries[0], share(0))])
        claimed = await claim_one(chords)
        assert await chords.end_chords([ChordEnd("g", claimed.claim)]) == []
        late = settled_member(deliveries[1], share(1))
        later = Settlement(deliveries[2], Acknowledge(), flow=Flow(grown=(growth("added"),), shares=(share(2),)))
        assert await broker.settle([late, later]) == []
        assert list(stored_keys(redis_server)) == ["celery-taskset-meta-g.c"]
        assert own_keys(redis_server) == []


@in_loop
async def test_a_chord_that_ends_in_the_batch_of_a_late_share_is_over(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with worker_at(redis_url) as broker:
        chords = store_of(broker)
        first, late = await taken(broker, "g-0", "late")
        await chords.astart_chords([start(1)])
        await broker.settle([settled_member(first, share(0))])
        claimed = await claim_one(chords)
        ended = Settlement(first, Keep(), fenced=False, flow=Flow(ends=(ChordEnd("g", claimed.claim),)))
        assert await broker.settle([settled_member(late, share(1)), ended]) == []
        assert list(stored_keys(redis_server)) == ["celery-taskset-meta-g.c"]
        assert own_keys(redis_server) == []


@in_loop
async def test_members_without_results(redis_url: str, redis_server: RedisServer) -> None:
    async with worker_at(redis_url) as broker:
        (delivery,) = await taken(broker, "g-0")
        await store_of(broker).astart_chords([start(1)])
        done = Settlement(delivery, Acknowledge(), flow=Flow(shares=(share(0),)))
        assert await broker.settle([done]) == []
        assert redis_server.call("KEYS", "celery-task-meta-*") == []
        assert (await claim_one(store_of(broker))).task_id == "g-0"


@pytest.mark.parametrize("key", ["celery-taskset-meta-g.d", "celeriac:joins:q"])
@in_loop
async def test_a_key_of_another_kind_is_told_before_anything_is_settled(
    redis_url: str, redis_server: RedisServer, key: str
) -> None:
    async with worker_at(redis_url) as broker:
        good, bad = await taken(broker, "good", "g-0")
        redis_server.call("RPUSH", key, "x")
        settlements = [Settlement(good, Acknowledge(), success("good")), settled_member(bad, share(0))]
        with pytest.raises(StoreRefused, match=key.replace(".", r"\.")):
            await broker.settle(settlements)
        assert redis_server.call("KEYS", "celery-task-meta-*") == []
        redis_server.call("DEL", key)
        assert await broker.settle(settlements) == []


@in_loop
async def test_a_chord_begins_with_its_messages_or_not_at_all(redis_url: str, redis_server: RedisServer) -> None:
    async with worker_at(redis_url) as broker:
        broker.publish([job("g-0")], [start(1)])
        await broker.apublish([job("h-0")], [start(1, "h")])
        broker.publish([], [start(7, "empty")])
        assert names(await take(broker)) == ["g-0", "h-0"]
        assert [store_of(broker).chord_state(group).size for group in ("g", "h", "empty")] == [1, 1, 7]
        redis_server.call("SET", "celeriac:due:q", "x")
        with pytest.raises(StoreRefused, match="celeriac:due:q"):
            broker.publish([job("i-0"), job("i-1", not_before=4e9)], [start(2, "i")])
        assert store_of(broker).chord_state("i").size is None
        redis_server.call("SADD", "celery-taskset-meta-j.s", "x")
        with pytest.raises(StoreRefused, match=r"celery-taskset-meta-j\.s"):
            broker.publish([job("j-0")], [start(1, "j")])
        assert await take(broker) == []


@pytest.mark.parametrize(("size", "queues"), [(3000, 1), (200, 200)], ids=["large", "many"])
@in_loop
async def test_batches_of_any_size(redis_url: str, size: int, queues: int) -> None:
    """A script may be given thousands of arguments, and a Lua function may not."""
    async with worker_at(redis_url) as broker:
        chords = store_of(broker)
        deliveries = await taken(broker, *members(size))
        groups = [f"group{number}" for number in range(queues)]
        await chords.astart_chords([start(size // queues, group) for group in groups])
        settlements = [
            settled_member(delivery, share(index // queues, groups[index % queues], queue=f"q{index % queues}"))
            for index, delivery in enumerate(deliveries)
        ]
        assert await broker.settle(settlements) == []
        found = await chords.claim_chords([f"q{number}" for number in range(queues)], size, 30.0)
        assert sorted(one.group_id for one in found) == sorted(groups)


@in_loop
async def test_chords_lie_where_the_results_lie(redis_url: str, redis_server: RedisServer) -> None:
    broker = open_broker(redis_url)
    backend = open_backend(
        None, broker=broker, options={"global_keyprefix": "results", "result_chord_ordered": "false"}
    )
    try:
        assert broker.stores_results_of(backend)
        await broker.open("worker", lease_seconds=30)
        broker.publish([job("g-0")], [start(1)])
        (delivery,) = await take(broker)
        assert await broker.settle([settled_member(delivery, share(0))]) == []
        found = {key.decode() for key in redis_server.call("KEYS", "results_*")}
        assert found == {f"results_celery-taskset-meta-g.{part}" for part in "sjd"} | {
            "results_celery-task-meta-g-0",
            "results_celeriac:chord:g",
            "results_celeriac:joins:q",
        }
        assert redis_server.call("TYPE", "results_celery-taskset-meta-g.j") == b"list"
        claimed = await claim_one(store_of(backend))
        assert await store_of(broker).end_chords([ChordEnd("g", claimed.claim)]) == []
        await broker.close()
    finally:
        backend.disconnect()
        broker.disconnect()


@in_loop
async def test_a_chord_lasts_from_its_last_share_on(redis_url: str, redis_server: RedisServer) -> None:
    async with worker_at(redis_url) as broker:
        chords = store_of(broker)
        deliveries = await taken(broker, *members(2))
        await chords.astart_chords([start(2, ttl=10.0)])
        await broker.settle([settled_member(deliveries[0], share(0, ttl=20.0))])
        assert {entry["ttl"] > 10 for entry in stored_keys(redis_server).values()} == {True}
        await broker.settle([settled_member(deliveries[1], share(1, ttl=DAY))])
        kept = {key: redis_server.call("TTL", key) for key in own_keys(redis_server)}
        assert {entry["ttl"] > 20 for entry in stored_keys(redis_server).values()} == {True}
        assert {left > 20 for left in kept.values()} == {True}
