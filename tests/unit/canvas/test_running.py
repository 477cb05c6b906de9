"""Workflows in place: by `apply`, and with `task_always_eager`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from canvas_tasks import Tasks
from celeriac import AsyncResult, Celeriac, GroupResult, Signature, chain, chord, group
from celeriac.exceptions import ChordError, Ignore
from celeriac.result import AnyResult

Run = Callable[[Signature[Any]], Any]


def by_apply(sig: Signature[Any]) -> Any:
    return sig.apply()


def by_aapply(sig: Signature[Any]) -> Any:
    return asyncio.run(sig.aapply())


def eagerly(sig: Signature[Any]) -> Any:
    sig.app.conf.task_always_eager = True
    return sig.apply_async()


def eagerly_in_a_loop(sig: Signature[Any]) -> Any:
    sig.app.conf.task_always_eager = True
    return asyncio.run(sig.aapply_async())


@pytest.fixture(params=[by_apply, by_aapply, eagerly, eagerly_in_a_loop])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param  # type: ignore[no-any-return]


def test_values_are_handed_on(tasks: Tasks, run: Run) -> None:
    add, later, total, echo = tasks.add, tasks.later, tasks.total, tasks.echo
    expected: list[tuple[Signature[Any], Any]] = [
        (chain(add.s(1, 2), later.s(3), add.s(4)), 10),
        (chain(add.s(1, 2), echo.si("alone"), echo.s("two")), [["alone"], "two"]),
        (group(add.s(1, 2), later.s(3, 4), chain(add.s(1, 1), add.s(5))), [3, 7, 7]),
        (group(add.s(n, n) for n in range(3)), [0, 2, 4]),
        (group(), []),
        (chord([add.s(1, 2), add.s(3, 4)], total.s()), 10),
        (chord([], total.s()), 0),
        (chord([add.s(1, 2)], group(echo.s("a"), echo.s("b"))), [[[3], "a"], [[3], "b"]]),
        (chain(add.s(1, 2), group(add.s(1), add.s(2)), total.s(), later.s(1)), 10),
        (chain(add.s(1, 2), group(add.s(1), add.s(2))), [4, 5]),
        (chain(group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3))), total.s()), 12),
        (chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), chain(add.s(1, 1), group(echo.s(), echo.s()))], echo.s()),
         [[6, [[2], [2]]]]),
        (chain([group(add.s(1, 2), add.s(3, 4)), total.s()], link=None), 10),
        (total.map([[1, 2], [3]]), [3, 3]),
        (later.starmap([(1, 2), (3, 4)]), [3, 7]),
        (add.chunks([(1, 2), (3, 4), (5, 6)], 2), [[3, 7], [11]]),
    ]  # fmt: skip
    for workflow, value in expected:
        assert run(workflow).get(timeout=5) == value, workflow


def test_arguments_go_to_what_comes_first(tasks: Tasks) -> None:
    add, total, echo = tasks.add, tasks.total, tasks.echo
    assert chain(add.s(1), add.s(10)).apply((5,)).get() == 16
    assert chain(add.s(), add.s(10)).apply((5,), {"y": 2}).get() == 17
    assert group(add.s(1), add.s(2)).apply((5,)).get() == [6, 7]
    assert chord([add.s(1), add.s(2)], total.s()).apply((5,)).get() == 13
    assert chord([add.s(1), add.s(2)], total.s(), args=(3,)).apply().get() == 9
    assert chord([add.s(1)], total.s(), kwargs={"kwargs": {"y": 4}}).clone().tasks[0].args == (1,)
    assert chain(add.si(1, 1), add.s(10)).apply((5,)).get() == 12
    assert (group(add.s(1), add.s(2)) | echo.s()).clone((7,)).apply().get() == [[8, 9]]


def test_results_know_what_came_before(tasks: Tasks) -> None:
    add, total = tasks.add, tasks.total
    last: AnyResult = chain(add.s(1, 2), group(add.s(1), add.s(2)), total.s(), add.s(1)).apply()
    seen: list[Any] = []
    node: AnyResult | None = last
    while node is not None:
        seen.append(node.get())
        node = node.parent
    assert seen == [10, 9, [4, 5], 3]


def test_ids_are_those_that_were_frozen(tasks: Tasks) -> None:
    workflow = chain(tasks.add.s(1, 2), group(tasks.add.s(1), tasks.add.s(2)), tasks.total.s())
    frozen: AnyResult | None = workflow.freeze("last")
    run: AnyResult | None = workflow.apply()
    while frozen is not None:
        assert run is not None
        assert run.id == frozen.id
        if isinstance(frozen, GroupResult):
            assert isinstance(run, GroupResult)
            assert [one.id for one in run] == [one.id for one in frozen]
        run, frozen = run.parent, frozen.parent
    assert run is None
    assert chain(tasks.add.s(1, 2), tasks.add.s(3)).apply(task_id="mine").id == "mine"


def test_what_follows_a_failure_is_not_run_and_fails_like_it(tasks: Tasks, run: Run) -> None:
    told: list[Any] = []

    @tasks.add.app.task(name="told")
    def told_of(task_id: str) -> None:
        told.append(task_id)

    steps = chain(tasks.add.s(1, 2), tasks.boom.s(), tasks.echo.s().on_error(told_of.s()), tasks.echo.s())
    last: AsyncResult[Any] = run(steps)
    assert [name for name, _ in tasks.seen] == ["add", "boom"]
    assert last.state == "FAILURE"
    with pytest.raises(ValueError, match="boom"):
        last.get()
    assert isinstance(last.result, ValueError)
    assert told == []


def test_a_body_whose_header_failed_is_not_run_and_says_why(tasks: Tasks, app: Celeriac, run: Run) -> None:
    app.conf.task_always_eager = True
    told: list[Any] = []

    @app.task(name="new")
    def new(request: Any, error: BaseException, traceback: object) -> None:
        told.append((request.id, repr(error)))

    @app.task(name="new async")
    async def new_async(request: Any, error: BaseException, traceback: object) -> None:
        told.append((request.id, repr(error)))

    @app.task(name="old")
    def old(task_id: str) -> None:
        told.append(task_id)

    body = tasks.total.s().on_error(new.s()).on_error(old.s())
    body.on_error(new_async.s())
    header = [tasks.add.s(1, 2), tasks.boom.s().set(task_id="bad"), tasks.add.s(3, 4)]
    done: AsyncResult[Any] = run(chord(header, chain(body, tasks.echo.s())))
    assert [name for name, _ in tasks.seen] == ["add", "boom", "add"]
    text = "Dependency bad raised ValueError('boom')"
    assert (done.state, str(done.result)) == ("FAILURE", text)
    with pytest.raises((ChordError, ValueError)):
        done.get()
    parent = done.parent
    assert isinstance(parent, AsyncResult)
    assert isinstance(parent.result, ChordError)
    assert told == [(parent.id, repr(ChordError(text))), parent.id, (parent.id, repr(ChordError(text)))]


def test_groups_and_chords_after_a_failure_fail_as_well(tasks: Tasks) -> None:
    ends: Any = chain(tasks.boom.s(), group(tasks.echo.s(), tasks.echo.s())).apply()
    assert type(ends) is GroupResult
    states: list[Any] = ends.results
    assert [one.state for one in states] == ["FAILURE", "FAILURE"]
    closed: Any = chain(tasks.boom.s(), chord([tasks.echo.s()], tasks.echo.s())).apply()
    assert closed.state == "FAILURE"
    outer = chord([chord([tasks.boom.s()], tasks.echo.s()), tasks.echo.s()], tasks.echo.s()).apply()
    assert "Dependency" in str(outer.result)
    assert "ChordError" in str(outer.result)


def test_a_chain_ends_with_a_step_that_is_ignored(tasks: Tasks, app: Celeriac) -> None:
    @app.task
    def skip(value: int) -> None:
        raise Ignore

    done = chain(tasks.add.s(1, 2), skip.s(), tasks.echo.s()).apply()
    assert done.state == "IGNORED"
    assert [name for name, _ in tasks.seen] == ["add"]


def test_failures_are_raised_where_they_propagate(tasks: Tasks, app: Celeriac) -> None:
    workflows = [
        chain(tasks.add.s(1, 2), tasks.boom.s(), tasks.echo.s()),
        group(tasks.add.s(1, 2), tasks.boom.s()),
        chord([tasks.boom.s()], tasks.echo.s()),
    ]
    for workflow in workflows:
        with pytest.raises(ValueError, match="boom"):
            workflow.apply(throw=True)
    app.conf.task_always_eager = app.conf.task_eager_propagates = True
    for workflow in workflows:
        with pytest.raises(ValueError, match="boom"):
            workflow.delay()


def test_links_and_errbacks_of_a_chain(tasks: Tasks, app: Celeriac) -> None:
    app.conf.task_always_eager = True
    chain(tasks.add.s(1, 2), tasks.add.s(3)).apply_async(link=tasks.echo.s("linked"))
    assert tasks.seen[-1] == ("echo", (6, "linked"))
    chord([tasks.add.s(1, 2)], tasks.total.s()).apply_async(link=tasks.echo.s("linked"))
    assert tasks.seen[-1] == ("echo", (3, "linked"))
    linked = chain(tasks.boom.s(), tasks.add.s(3))
    linked.link_error(tasks.add.s(1))
    linked.link(tasks.echo.s("never"))
    tasks.seen.clear()
    linked.apply_async()
    assert [name for name, _ in tasks.seen] == ["boom", "add"]
    assert tasks.seen[1][1][1] == 1, "the errback has the id of the task that failed before its own argument"
    with pytest.raises(TypeError, match="use a chord"):
        chain(tasks.add.s(1, 2), group(tasks.add.s(1), tasks.add.s(2))).apply_async(link=tasks.echo.s())


def test_what_is_empty(tasks: Tasks) -> None:
    with pytest.raises(ValueError, match="empty chain"):
        chain().apply()
    with pytest.raises(ValueError, match="empty chain"):
        chain().freeze()
    with pytest.raises(TypeError, match="empty group"):
        group().link(tasks.echo.s())
    assert chain(group([]), link=None).apply().get() == []
    assert not group()
    assert group(tasks.add.s(1, 1))


def test_invert_sends_and_waits(tasks: Tasks, app: Celeriac) -> None:
    app.conf.task_always_eager = True
    assert ~tasks.add.s(1, 2) == 3
    assert ~chain(tasks.add.s(1, 2), tasks.add.s(3)) == 6
    assert ~group(tasks.add.s(1, 2)) == [3]
