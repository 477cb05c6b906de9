"""Results of several tasks: waiting for them."""

from __future__ import annotations

import asyncio
import builtins
import threading
from typing import Any

import pytest

from celeriac import Celeriac, GroupResult, ResultSet
from celeriac.exceptions import TimeoutError  # noqa: A004 - Celery's name
from grouping import PATIENCE, error_of, group_of, in_thread, trips_of
from storing import finish, record


def test_values_come_in_the_order_of_members(app: Celeriac) -> None:
    group = group_of(app, "1", "2", "3")
    for number in ("3", "1", "2"):
        finish(app, number, int(number))
    assert group.get(timeout=0) == group.join(timeout=0) == group.join_native(timeout=0) == [1, 2, 3]
    assert asyncio.run(group_of(app, "1", "2", "3").aget(timeout=0)) == [1, 2, 3]
    assert ResultSet([], app=app).get() == []


def test_many_that_are_there_cost_few_trips(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [str(number) for number in range(2500)]
    app.backend.store([record(one, int(one)) for one in ids])
    trips = trips_of(app, monkeypatch)
    assert group_of(app, *ids).get(timeout=0) == list(range(2500))
    assert group_of(app, *ids).completed_count() == 2500
    assert trips == ["load_many"] * 6
    trips.clear()
    assert asyncio.run(group_of(app, *ids).aget(timeout=0)) == list(range(2500))
    assert trips.count("aload_many") == 3
    assert set(trips) <= {"aload_many", "load_many"}  # in memory the one calls the other
    known = group_of(app, *ids)
    known.get(timeout=0)
    trips.clear()
    assert known.successful()
    assert known.get(timeout=0) == list(range(2500))
    assert trips == []


def test_threads_are_woken(app: Celeriac) -> None:
    ids = [str(number) for number in range(50)]
    joins = [in_thread(lambda: group_of(app, *ids).get(timeout=PATIENCE)) for _ in range(3)]
    for one in reversed(ids):
        finish(app, one, int(one))
    assert [join() for join in joins] == [list(range(50))] * 3


def test_thousands_wait_in_one_loop_that_goes_on(app: Celeriac) -> None:
    groups = [[f"{number}-{member}" for member in range(3)] for number in range(500)]

    async def main() -> None:
        waiting = [asyncio.create_task(group_of(app, *ids).aget(timeout=PATIENCE)) for ids in groups]
        await app.backend.astore([record("first")])
        assert await group_of(app, "first").aget(timeout=PATIENCE) == ["done"]
        assert not any(task.done() for task in waiting)
        await app.backend.astore([record(one) for ids in groups for one in ids])
        assert await asyncio.gather(*waiting) == [["done"] * 3] * 500

    asyncio.run(main())


def test_a_failure_is_raised_before_the_others_are_there(app: Celeriac) -> None:
    join = in_thread(lambda: error_of(lambda: group_of(app, "1", "2", "3").get(timeout=PATIENCE)))
    finish(app, "2", ValueError("boom"))
    assert repr(join()) == "ValueError('boom')"
    finish(app, "1")
    finish(app, "3")
    values = group_of(app, "1", "2", "3").get(timeout=0, propagate=False)
    assert [repr(value) for value in values] == ["'done'", "ValueError('boom')", "'done'"]

    async def main() -> None:
        with pytest.raises(ValueError, match="boom"):
            await group_of(app, "never", "2").aget(timeout=PATIENCE)

    asyncio.run(main())


def test_time_runs_out_for_all_together(app: Celeriac) -> None:
    finish(app, "1")
    for timeout in (0, 0.02):
        with pytest.raises(
            TimeoutError, match=rf"2 of 3 results did not come within {timeout} s, the first.* 2\..*worker"
        ):
            group_of(app, "1", "2", "3").get(timeout=timeout)
        with pytest.raises(TimeoutError, match="1 of 2"):
            asyncio.run(group_of(app, "1", "2").aget(timeout=timeout))
    with pytest.raises(TimeoutError, match="1 of 1"):
        group_of(app, "2").get(timeout=0.02)


def test_a_callback_gets_each_member(app: Celeriac) -> None:
    group = group_of(app, "1", "2")
    finish(app, "1", 1)
    finish(app, "2", 2)
    calls: list[Any] = []
    assert group.get(timeout=0, callback=lambda *args: calls.append(args)) == []
    assert calls == [("1", 1), ("2", 2)]


def test_members_are_yielded_as_they_finish(app: Celeriac) -> None:
    arrived: list[str] = []
    seen = threading.Semaphore(0)

    def iterate() -> list[str]:
        for member in group_of(app, "1", "2", "3").iterate(timeout=PATIENCE):
            arrived.append(member.id)
            seen.release()
        return arrived

    join = in_thread(iterate)
    for one in ("2", "3", "1"):
        finish(app, one, ValueError("failures are members, too") if one == "3" else "done")
        assert seen.acquire(timeout=PATIENCE)
    assert join() == ["2", "3", "1"]
    found = {task_id: meta["status"] for task_id, meta in group_of(app, "1", "2", "3").iter_native(timeout=0)}
    assert found == {"1": "SUCCESS", "2": "SUCCESS", "3": "FAILURE"}


def test_members_are_yielded_as_they_finish_for_asyncio(app: Celeriac) -> None:
    async def main() -> list[str]:
        arrived = []
        order = iter(["3", "1"])
        await app.backend.astore([record("2")])
        async for member in group_of(app, "1", "2", "3").aiterate(timeout=PATIENCE):
            arrived.append(member.id)
            if (following := next(order, None)) is not None:
                await app.backend.astore([record(following)])
        return arrived

    assert asyncio.run(main()) == ["2", "3", "1"]


def test_who_stops_to_iterate_leaves_nothing_behind(app: Celeriac) -> None:
    finish(app, "1")

    async def main() -> None:
        async for member in group_of(app, "1", "2", "3").aiterate(timeout=PATIENCE):
            assert member == "1"
            break
        waiting = asyncio.create_task(group_of(app, "2", "3").aget())
        iterating = group_of(app, "1", "2", "3").aiterate(timeout=PATIENCE)
        assert await anext(iterating) == "1"
        with pytest.raises(builtins.TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(iterating)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(PATIENCE):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0)

    asyncio.run(main())
    for member in group_of(app, "1", "2", "3").iterate(timeout=PATIENCE):
        assert member == "1"
        break


def test_of_a_large_group_those_that_nobody_waits_for_are_looked_at(
    app: Celeriac, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.result_watch._WATCHED", 4)
    monkeypatch.setattr("celeriac.result_watch._LOOK_INTERVAL", 0.01)
    ids = [str(number) for number in range(30)]

    async def main() -> None:
        arrived = []
        async for member in group_of(app, *ids).aiterate(timeout=PATIENCE):
            arrived.append(member.id)
            if len(arrived) == 25:  # the first five were stuck while the others came
                await app.backend.astore([record(one) for one in ids[:5]])
        assert sorted(arrived[:25]) == sorted(ids[5:])
        assert len(arrived) == 30

    app.backend.store([record(one) for one in ids[20:]])
    join = in_thread(lambda: asyncio.run(main()))
    app.backend.store([record(one) for one in ids[5:20]])
    join()


def test_a_task_may_be_in_a_set_twice_and_groups_inside(app: Celeriac) -> None:
    twice = app.AsyncResult("1")
    members = app.ResultSet([twice, group_of(app, "2", "1"), twice, GroupResult("empty", app=app)])
    join = in_thread(lambda: members.get(timeout=PATIENCE))
    finish(app, "1", 1)
    finish(app, "2", 2)
    assert join() == [1, [2, 1], 1, []]
    assert [str(member) for member in members.iterate(timeout=0)] == ["1", "g", "1", "empty"]
    calls: list[Any] = []
    members.get(timeout=0, callback=lambda *args: calls.append(args))
    assert calls == [("1", 1), ("g", [2, 1]), ("1", 1), ("empty", [])]


def test_what_is_ignored_is_not_waited_for(app: Celeriac) -> None:
    @app.task(ignore_result=True)
    def nothing() -> None: ...

    finish(app, "1")
    assert app.ResultSet([nothing.delay(), app.AsyncResult("1")]).get(timeout=0) == [None, "done"]


def test_an_unreadable_result_is_an_error(app: Celeriac) -> None:
    app.backend.store([record("1"), record("2")])
    app.conf.result_serializer = "yaml"
    app.conf.result_accept_content = ["msgpack"]
    with pytest.raises(Exception, match="accept"):
        group_of(app, "1", "2").get(timeout=0)
