"""Results of several tasks: what came before them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, GroupResult
from celeriac.exceptions import ChordError, TimeoutError  # noqa: A004 - Celery's name
from grouping import PATIENCE, error_of, group_of, in_thread, noting, trips_of
from storing import finish, record


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
        in_thread(lambda: error_of(lambda: body.get(timeout=PATIENCE))),
        in_thread(lambda: error_of(lambda: asyncio.run(body.aget(timeout=PATIENCE)))),
        in_thread(lambda: error_of(lambda: after.get(timeout=PATIENCE))),
        in_thread(lambda: error_of(lambda: asyncio.run(after.aget(timeout=PATIENCE)))),
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
    monkeypatch.setattr(app.backend, "forget_many", noting(app.backend.forget_many, "forget_many", trips))
    chain.forget()
    assert trips == ["forget_many"] * 3
    assert group_of(app, *ids).completed_count() == 0


def test_forgetting_forgets_what_was_before(app: Celeriac) -> None:
    for one in ("1", "2", "body"):
        finish(app, one)
    AsyncResult[Any]("body", app=app, parent=group_of(app, "1", "2")).forget()
    assert group_of(app, "1", "2", "body").completed_count() == 0
