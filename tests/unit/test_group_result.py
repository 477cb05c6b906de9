"""Results of several tasks, on stores of both kinds: in memory and in a file."""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from celeriac import (
    AsyncResult,
    Celeriac,
    EagerResult,
    GroupResult,
    ResultSet,
    allow_join_result,
    denied_join_result,
    result_from_tuple,
)
from celeriac.exceptions import ChordError, DecodeError, NotSupported, TimeoutError  # noqa: A004 - Celery's name
from celeriac.result_meta import encode_group
from celeriac.testing import VirtualClock
from hand_worker import HandWorker
from storing import finish, record

#: Seconds after which something that should happen counts as not happening.
PATIENCE = 20.0

_numbers = count()


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> Iterator[Celeriac]:
    url = f"memory://groups-{next(_numbers)}" if request.param == "memory" else f"sqlite:///{tmp_path}/groups.sqlite3"
    with Celeriac("tests", broker=url, clock=clock) as made:
        yield made


def group_of(app: Celeriac, *ids: str) -> GroupResult:
    return GroupResult("g", [AsyncResult(one, app=app) for one in ids], app=app)


def trips_of(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each call to the backend that asks for results."""
    trips: list[str] = []
    for name in ("load", "aload", "load_many", "aload_many", "wait_ready", "await_ready"):
        monkeypatch.setattr(app.backend, name, _noting(getattr(app.backend, name), name, trips))
    return trips


def _noting(function: Callable[..., Any], name: str, trips: list[str]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        trips.append(name)
        return function(*args)

    return call


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Run it in a thread, with nothing of what is current here; call the answer for what it returned."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(contextvars.Context().run(function)))
    thread.start()

    def join() -> Any:
        thread.join(PATIENCE)
        return results[0]

    return join


# -- members -----------------------------------------------------------------------------------------------------------


def test_members_come_and_go(app: Celeriac) -> None:
    one, two, three = (app.AsyncResult(str(number)) for number in range(3))
    members = app.ResultSet([one])
    members.add(two)
    members.add(two)
    members.update([one, three, three])
    assert list(members) == [one, two, three]
    assert (len(members), members[1], members[1:], one in members) == (3, two, [two, three], True)
    members.remove("1")
    members.discard(one)
    members.discard(one)
    assert members.results == [three]
    with pytest.raises(KeyError):
        members.remove(one)
    members.clear()
    assert len(members) == 0
    assert members == ResultSet([])
    assert members.app is app


def test_identity(app: Celeriac) -> None:
    group = group_of(app, "1", "2")
    assert group == group_of(app, "1", "2") == "g"
    assert group != group_of(app, "1")
    assert group != GroupResult("other", group.results, app=app)
    assert group != 5
    assert {group: 1}[group_of(app, "1", "2")] == 1
    assert (str(group), repr(group), repr(ResultSet(group.results))) == (
        "g",
        "<GroupResult: g [1, 2]>",
        "<ResultSet: [1, 2]>",
    )
    assert group.children == group.results == list(group)
    assert bool(GroupResult("empty", app=app))
    assert copy.copy(group) == pickle.loads(pickle.dumps(group)) == group


def test_tuples(app: Celeriac) -> None:
    parent = app.AsyncResult("p")
    group = GroupResult("g", [app.AsyncResult("1"), GroupResult("h", [app.AsyncResult("2")], app=app)], parent, app)
    stored = (("g", (("p", None), None)), [(("1", None), None), (("h", None), [(("2", None), None)])])
    assert group.as_tuple() == stored
    assert group.as_list() == ["1", "2", "p"]
    again = result_from_tuple(stored, app)
    assert again == group
    assert isinstance(again, GroupResult)
    assert isinstance(again.results[1], GroupResult)
    assert result_from_tuple([["g", None], []], app) == GroupResult("g", app=app)
    assert result_from_tuple(group, app) is group
    with pytest.raises(TypeError, match="tuple"):
        result_from_tuple(None, app)  # type: ignore[arg-type]


def test_a_chain_may_be_longer_than_python_recurses(app: Celeriac) -> None:
    result = app.AsyncResult("0")
    for number in range(1, 5000):
        result = AsyncResult(str(number), app=app, parent=result)
    again = result_from_tuple(result.as_tuple(), app)
    assert again == result
    assert again.parent == "4998"
    assert result.as_list() == [str(number) for number in reversed(range(5000))]
    assert result.as_tuple(2) == (("4999", (("4998", (("4997", None), None)), None)), None)


# -- looking -----------------------------------------------------------------------------------------------------------


def test_looking_at_members(app: Celeriac) -> None:
    group = group_of(app, "1", "2")
    assert (group.ready(), group.waiting(), group.successful(), group.failed()) == (False, True, False, False)
    finish(app, "1")
    assert (group.ready(), group.waiting(), group.completed_count()) == (False, True, 1)
    finish(app, "2", "half", status="PROGRESS")
    assert (group.ready(), group.completed_count()) == (False, 1)
    finish(app, "2")
    assert (group.ready(), group.waiting(), group.successful(), group.completed_count()) == (True, False, True, 2)


def test_failures_among_members(app: Celeriac) -> None:
    group = group_of(app, "1", "2", "3")
    finish(app, "1")
    finish(app, "2", ValueError("boom"))
    assert (group.ready(), group.successful(), group.failed(), group.completed_count()) == (False, False, True, 1)
    calls: list[Any] = []
    with pytest.raises(ValueError, match="boom"):
        group.maybe_throw(callback=lambda *args: calls.append(args))
    assert calls == [("1", "done")]
    group.maybe_reraise(propagate=False)


def test_the_same_for_asyncio(app: Celeriac) -> None:
    group = group_of(app, "1", "2")

    async def main() -> None:
        assert not await group.aready()
        finish(app, "1")
        finish(app, "2", ValueError("boom"))
        assert await group.aready()
        assert await group.afailed()
        assert not await group.asuccessful()
        assert await group.acompleted_count() == 1
        await group.aforget()

    asyncio.run(main())
    assert group_of(app, "1", "2").waiting()


def test_forget(app: Celeriac) -> None:
    group = group_of(app, "1", "2")
    finish(app, "1")
    finish(app, "2")
    assert group.get(timeout=0) == ["done", "done"]
    group.forget()
    assert group.completed_count() == 0


def test_a_group_inside_counts_when_it_is_complete(app: Celeriac) -> None:
    outer = app.ResultSet([group_of(app, "1", "2"), app.AsyncResult("3")])
    finish(app, "1")
    finish(app, "3")
    assert outer.completed_count() == 1
    finish(app, "2")
    assert outer.completed_count() == 2


# -- waiting -----------------------------------------------------------------------------------------------------------


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
    join = in_thread(lambda: _error_of(lambda: group_of(app, "1", "2", "3").get(timeout=PATIENCE)))
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


def _error_of(function: Callable[[], object]) -> BaseException | None:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - any
        return error
    return None


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


# -- parents -----------------------------------------------------------------------------------------------------------


def test_the_error_of_what_was_before_is_raised_while_the_own_result_is_not_there(
    app: Celeriac, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.result.PARENTS_INTERVAL", 0.01)
    monkeypatch.setattr("celeriac.result_waits.PARENTS_INTERVAL", 0.01)
    first = app.AsyncResult("first")
    header = GroupResult("h", [app.AsyncResult("1"), app.AsyncResult("2")], first, app)
    body = AsyncResult[Any]("body", app=app, parent=header)
    after = GroupResult("after", [app.AsyncResult("3"), app.AsyncResult("4")], body, app)
    joins = [
        in_thread(lambda: _error_of(lambda: body.get(timeout=PATIENCE))),
        in_thread(lambda: _error_of(lambda: asyncio.run(body.aget(timeout=PATIENCE)))),
        in_thread(lambda: _error_of(lambda: after.get(timeout=PATIENCE))),
        in_thread(lambda: _error_of(lambda: asyncio.run(after.aget(timeout=PATIENCE)))),
    ]
    finish(app, "2", ValueError("boom"))
    errors = [join() for join in joins]
    assert [str(error) for error in errors] == ["Dependency 2 raised ValueError('boom')"] * 4
    assert all(isinstance(error, ChordError) for error in errors)
    assert repr(errors[0].__cause__) == "ValueError('boom')"
    with pytest.raises(TimeoutError):
        body.get(timeout=0.05, follow_parents=False)
    finish(app, "body", ChordError("its own"))
    with pytest.raises(ChordError, match="its own"):
        AsyncResult[Any]("body", app=app, parent=header).get(timeout=0)


def test_members_of_what_was_before_are_not_asked_when_the_own_result_is_there(
    app: Celeriac, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(app, "body", 5)
    body = AsyncResult[int]("body", app=app, parent=group_of(app, *(str(number) for number in range(5000))))
    trips = trips_of(app, monkeypatch)
    assert body.get(timeout=0) == 5
    assert trips == ["load_many"]


def test_forgetting_many_costs_few_trips(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [str(number) for number in range(2500)]
    app.backend.store([record(one) for one in ids])
    chain = app.AsyncResult("0")
    for one in ids[1:]:
        chain = AsyncResult(one, app=app, parent=chain)
    trips: list[str] = []
    monkeypatch.setattr(app.backend, "forget_many", _noting(app.backend.forget_many, "forget_many", trips))
    chain.forget()
    assert trips == ["forget_many"] * 3
    assert group_of(app, *ids).completed_count() == 0


def test_forgetting_forgets_what_was_before(app: Celeriac) -> None:
    for one in ("1", "2", "body"):
        finish(app, one)
    AsyncResult[Any]("body", app=app, parent=group_of(app, "1", "2")).forget()
    assert group_of(app, "1", "2", "body").completed_count() == 0


# -- saving ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", ["json", "pickle", "msgpack", "yaml"])
def test_saved_groups_are_restored(app: Celeriac, serializer: str) -> None:
    app.conf.update(result_serializer=serializer, result_accept_content=[serializer], result_compression="gzip")
    group = GroupResult("g", [app.AsyncResult("1"), group_of(app, "2")], app.AsyncResult("p"), app)
    group.save()
    assert app.GroupResult.restore("g") == GroupResult.restore("g", app=app) == group
    group.delete()
    group.delete()
    assert app.GroupResult.restore("g") is None


def test_saving_for_asyncio(app: Celeriac) -> None:
    async def main() -> None:
        group = group_of(app, "1", "2")
        await group.asave()
        assert await app.GroupResult.arestore("g") == await GroupResult.arestore("g", app=app) == group
        await group.adelete()
        assert await app.GroupResult.arestore("g") is None

    asyncio.run(main())


def test_saved_groups_last_as_long_as_results(app: Celeriac, clock: VirtualClock) -> None:
    app.conf.result_expires = 60
    group_of(app, "1").save()
    clock.advance(59)
    assert app.GroupResult.restore("g") is not None
    clock.advance(2)
    assert app.GroupResult.restore("g") is None


def test_a_group_is_stored_in_celerys_form(app: Celeriac) -> None:
    group_of(app, "1").save()
    assert app.backend.load_group("g") == b'{"result": [["g", null], [[["1", null], null]]]}'
    app.backend.save_group("task", encode_group((("1", None), None)), None)
    with pytest.raises(DecodeError, match="result of a task"):
        app.GroupResult.restore("task")
    app.backend.save_group("odd", b'{"status": "SUCCESS"}', None)
    with pytest.raises(DecodeError, match="no group"):
        app.GroupResult.restore("odd")


# -- without a store ---------------------------------------------------------------------------------------------------


def test_without_results_asking_is_an_error() -> None:
    with Celeriac("t", broker="memory://", backend="disabled://") as app:
        group = group_of(app, "1", "2")
        for ask in (group.get, group.ready, group.save, lambda: app.GroupResult.restore("g")):
            with pytest.raises(NotSupported, match="result_backend"):
                ask()
        group.delete()


def test_eager_results_need_no_store() -> None:
    with Celeriac("t", broker="memory://", backend="disabled://") as app:
        good = EagerResult[int]("1", 5, "SUCCESS", app=app)
        bad = EagerResult[int]("2", ValueError("boom"), "FAILURE", app=app)
        assert app.ResultSet([good, good]).get() == [5, 5]
        both = GroupResult("g", [good, bad], app=app)
        assert (both.ready(), both.failed(), both.completed_count()) == (True, True, 1)
        assert list(both.iterate()) == [good, bad]
        with pytest.raises(ValueError, match="boom"):
            both.get()
        assert asyncio.run(app.ResultSet([good]).aget()) == [5]
        assert copy.copy(good).get() == pickle.loads(pickle.dumps(good)).get() == 5
        values: list[Any] = []
        app.ResultSet([good]).then(values.append).result(0)
        both.then(values.append, on_error=lambda error: values.append(repr(error))).result(0)
        assert values[1] == "ValueError('boom')"


# -- in tasks ----------------------------------------------------------------------------------------------------------


def test_a_task_must_not_wait_for_a_group() -> None:
    with Celeriac("t", broker="memory://waiting-tasks") as app:
        finish(app, "1")
        seen: list[Any] = []

        @app.task
        def waits(how: str) -> None:
            if how == "allowed":
                with allow_join_result():
                    seen.append(group_of(app, "1").get(timeout=0))
            elif how == "iterating":
                seen.extend(group_of(app, "1").iterate(timeout=0))
            else:
                seen.append(group_of(app, "1").get(timeout=0))

        @app.task
        async def awaits() -> None:
            seen.append(await group_of(app, "1").aget(timeout=0))

        refused = [waits.delay("plain"), waits.delay("iterating")]
        waits.delay("allowed")
        awaits.delay()
        HandWorker(app).run()
        assert seen == [["done"], ["done"]]
        for result in refused:
            with pytest.raises(RuntimeError, match="disable_sync_subtasks"):
                result.get(timeout=0)


def test_waiting_can_be_denied_anywhere(app: Celeriac) -> None:
    finish(app, "1")
    with denied_join_result():
        for get in (group_of(app, "1").get, app.AsyncResult("1").get):
            with pytest.raises(RuntimeError, match="denied_join_result"):
                get(timeout=0)
        with allow_join_result():
            assert group_of(app, "1").get(timeout=0) == ["done"]
    assert group_of(app, "1").get(timeout=0) == ["done"]


def test_a_group_among_the_children_of_a_task() -> None:
    with Celeriac("t", broker="memory://group-children") as app:

        @app.task(bind=True)
        def sends(self: Any) -> None:
            self.request.children.append(group_of(app, "1", "2"))

        result = sends.delay()
        HandWorker(app).run()
        assert result.children == [group_of(app, "1", "2")]
