"""The tasks that every app has under Celery's names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from canvas_tasks import Tasks
from celeriac import Celeriac, chord, group, result_from_tuple
from celeriac.exceptions import NotSupported
from hand_worker import HandWorker


@pytest.fixture(autouse=True)
def in_place(app: Celeriac) -> None:
    app.conf.task_always_eager = True


def test_every_app_has_them_and_they_are_not_the_users(app: Celeriac, tasks: Tasks) -> None:
    names = {"map", "starmap", "chunks", "accumulate", "group", "chain", "chord"}
    assert {f"celery.{name}" for name in names} <= set(app.tasks)
    mine = {task.name for task in app.user_tasks()}
    assert "sums.add" in mine
    assert not [name for name in mine if name.startswith(("celery.", "celeriac."))]


def test_maps_of_plain_and_of_coroutine_tasks(app: Celeriac, tasks: Tasks) -> None:
    pairs = [[1, 2], [3, 4]]
    for task in (tasks.add, tasks.later):
        assert app.send_task("celery.starmap", kwargs={"task": dict(task.s()), "it": pairs}).get() == [3, 7]
    assert app.send_task("celery.map", kwargs={"task": dict(tasks.total.s()), "it": pairs}).get() == [3, 7]

    async def in_a_loop() -> Any:
        return (await tasks.later.starmap(pairs).aapply()).get()

    assert asyncio.run(in_a_loop()) == [3, 7]


def test_a_map_fails_with_what_one_call_raises(tasks: Tasks) -> None:
    with pytest.raises(ValueError, match="boom"):
        tasks.boom.map([1, 2]).apply().get()
    assert len(tasks.seen) == 1


def test_accumulate_hands_on(app: Celeriac) -> None:
    assert app.send_task("celery.accumulate", ([1, 2],), {"index": 0}).get() == [1, 2]
    assert app.send_task("celery.accumulate", (1, 2)).get() == [1, 2]


def test_those_that_stand_for_workflows_send_them(app: Celeriac, tasks: Tasks) -> None:
    members = [dict(tasks.add.s(1)), dict(tasks.add.s(2))]
    sent = app.send_task("celery.group", (members, None, "the group", [10])).get()
    assert sent[0][0] == "the group"
    app.send_task("celery.chord", (members, dict(tasks.total.s())), {"partial_args": [10]}).get()
    assert tasks.seen == [("add", (10, 1)), ("add", (10, 2)), ("add", (10, 1)), ("add", (10, 2)), ("total", [11, 12])]
    tasks.seen.clear()
    header = dict(group(tasks.add.s(1, 1)))
    app.send_task("celery.chord", (header, dict(tasks.total.s()))).get()
    chunks = app.send_task("celery.chunks", (dict(tasks.add.s()), [[1, 2], [3, 4]], 1)).get()
    assert len(result_from_tuple(chunks, app)) == 2  # type: ignore[arg-type]
    assert [name for name, _ in tasks.seen] == ["add", "total", "add", "add"]
    with pytest.raises(NotSupported, match="a chain is no task"):
        app.send_task("celery.chain").get()


def test_a_map_goes_where_its_task_goes(app: Celeriac, worker: HandWorker) -> None:
    app.conf.task_always_eager = False
    app.conf.task_routes = {"routed": {"queue": "by route"}}

    @app.task(name="routed")
    def routed(x: int) -> int:
        return x

    @app.task(name="own", queue="of the task")
    def own(x: int) -> int:
        return x

    routed.map([1]).delay()
    asyncio.run(own.map([1, 2]).adelay())
    own.chunks([(1,), (2,)], 1).delay()
    asyncio.run(routed.starmap([(1,)]).set(queue="said").aapply_async())
    named = {
        queue: [one.message.headers["task"] for one in worker.waiting(queue)]
        for queue in ("by route", "of the task", "said")
    }
    assert named == {"by route": ["celery.map"], "of the task": ["celery.map", *["celery.starmap"] * 2],
                     "said": ["celery.starmap"]}  # fmt: skip


def test_what_is_sent_of_a_chord_and_a_chain_of_batches(app: Celeriac, tasks: Tasks) -> None:
    done = chord([tasks.add.starmap([(1, 2)]), tasks.total.map([[5]])], tasks.echo.s()).apply()
    assert done.get() == [[[3], [5]]]
