"""Results of several tasks: which there are, and what is seen of them."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, GroupResult, ResultSet, result_from_tuple
from grouping import group_of
from storing import finish


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
