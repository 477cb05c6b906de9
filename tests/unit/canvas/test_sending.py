"""What is made of workflows when they are sent: ids, arguments, and how long what is known of chords is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canvas_tasks import Tasks
from celeriac import AsyncResult, Celeriac, Signature, chain, chord, group, signature
from celeriac.chords import ChordStart
from celeriac.testing import VirtualClock
from celeriac.workflows import Workflow
from hand_worker import HandWorker


def test_the_id_of_a_chord_is_that_of_what_comes_last(tasks: Tasks, app: Celeriac, worker: HandWorker) -> None:
    result = chord([tasks.add.s(1, 1)], tasks.total.s() | tasks.echo.s("last")).apply_async(task_id="mine")
    worker.finish()
    assert result.id == "mine"
    assert app.AsyncResult("mine").result == [2, "last"]
    assert isinstance(result.parent, AsyncResult)
    assert result.parent.result == 2


#: Immutable workflows whose first task would show an argument that it is given.
CLOSED: dict[str, Callable[[Tasks], Signature[Any]]] = {
    "a chain": lambda tasks: chain(tasks.echo.s("own"), tasks.echo.s()),
    "a chain that begins with a chord": lambda tasks: chain(
        chord([tasks.echo.s("own"), tasks.echo.s("own")], tasks.echo.s()), tasks.echo.s()
    ),
    "a chain that is a group": lambda tasks: signature(
        {"task": "celery.chain", "kwargs": {"tasks": [group(tasks.echo.s("own"), tasks.echo.s("own"))]}}
    ),
    "a group": lambda tasks: group(tasks.echo.s("own"), tasks.echo.s("own")),
    "a chord": lambda tasks: chord([tasks.echo.s("own"), tasks.echo.s("own")], tasks.echo.s()),
}


@pytest.mark.parametrize("role", ["link", "body"])
@pytest.mark.parametrize("kind", CLOSED)
def test_immutable_workflows_do_not_get_the_value(
    tasks: Tasks, app: Celeriac, worker: HandWorker, kind: str, role: str
) -> None:
    closed = CLOSED[kind](tasks)
    closed["immutable"] = True
    if role == "link":
        tasks.add.apply_async((1, 1), link=closed)
    else:
        chord([tasks.add.s(1, 1), tasks.add.s(1, 1)], closed).apply_async()
    worker.finish()
    first = [args for name, args in tasks.seen if name == "echo" and "own" in args]
    assert first
    assert set(first) == {("own",)}


def test_a_chain_that_was_cloned_with_arguments_has_them(tasks: Tasks, worker: HandWorker) -> None:
    for given in (
        chain(tasks.add.s(1), tasks.add.s(2)).clone((5,)),
        chain(tasks.add.s(1), tasks.add.s(2)).clone(kwargs={"y": 5}),
    ):
        result = given.apply_async()
        worker.finish()
        assert (result.result, given.apply().result) == (8, 8)


def test_a_later_step_may_say_as_text_when_it_is_due(tasks: Tasks, worker: HandWorker, clock: VirtualClock) -> None:
    eta = (datetime.fromtimestamp(clock.time(), UTC) + timedelta(days=1)).isoformat()
    later = signature({"task": "sums.echo", "options": {"eta": eta}})
    result = chain(tasks.add.s(1, 1), later).apply_async()
    worker.run_all()
    assert not result.ready()
    clock.advance(86401)
    worker.run_all()
    assert result.successful()


def test_a_body_that_has_nothing_to_run_is_refused(tasks: Tasks, worker: HandWorker) -> None:
    with pytest.raises(ValueError, match=r"empty chain.*: name a task"):
        chord([tasks.add.s(1, 1)], chain()).apply_async()
    assert worker.waiting() == []


@pytest.mark.parametrize("given", ["countdown", "eta", "eta as text", "eta without a zone"])
def test_what_is_known_of_a_chord_lasts_from_when_its_last_member_is_due(
    tasks: Tasks, app: Celeriac, given: str
) -> None:
    app.conf.result_expires = 3600
    due = app.now() + timedelta(days=2)
    each: dict[str, dict[str, Any]] = {
        "countdown": {"countdown": 2 * 86400},
        "eta": {"eta": due},
        "eta as text": {"eta": due.isoformat()},
        "eta without a zone": {"eta": due.astimezone(UTC).replace(tzinfo=None).isoformat()},
    }
    member = signature({"task": "sums.add", "args": [1, 1], "options": each[given]})
    (start,) = [
        part
        for part in Workflow(app, chord([member, tasks.add.s(1, 1)], tasks.total.s()), (), {}).parts()
        if isinstance(part, ChordStart)
    ]
    assert start.ttl == pytest.approx(2 * 86400 + 3600, abs=5)
