"""Tasks run in place: by the same code as in a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from celeriac import Celeriac, EagerResult, Ignore, Reject, Task
from celeriac.exceptions import EncodeError
from hand_worker import HandWorker


@pytest.fixture
def eager(app: Celeriac) -> Celeriac:
    app.conf.task_always_eager = True
    return app


def test_what_goes_in_and_out_is_serialised(app: Celeriac) -> None:
    seen: list[Any] = []

    @app.task
    def task(pair: tuple[int, int]) -> Any:
        seen.append(pair)
        return (1, 2)

    result = task.apply(((3, 4),))
    assert seen == [[3, 4]]
    assert result.get() == [1, 2]
    assert (result.state, result.name) == ("SUCCESS", task.name)
    with pytest.raises(EncodeError):
        task.apply((object(),))


def test_a_result_that_can_not_be_encoded_fails(app: Celeriac) -> None:
    @app.task
    def task() -> Any:
        return object()

    assert isinstance(task.apply().result, EncodeError)


def test_an_ignored_result_is_still_there(app: Celeriac) -> None:
    @app.task(ignore_result=True)
    def task() -> int:
        return 5

    assert task.apply().get() == 5


def test_the_exception_is_the_tasks_own(app: Celeriac) -> None:
    error = ValueError("boom")

    @app.task
    def task() -> None:
        raise error

    result = task.apply()
    assert result.result is error
    assert result.traceback is not None
    with pytest.raises(ValueError, match="boom"):
        task.apply(throw=True)
    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="boom"):
        task.apply()
    assert task.apply(throw=False).failed()


def test_the_request_says_so(app: Celeriac) -> None:
    @app.task(bind=True)
    def task(self: Task[..., Any]) -> Any:
        request = self.request
        assert request.delivery_info is not None
        return [request.id, request.is_eager, request.delivery_info["is_eager"], request.called_directly]

    assert task.apply(task_id="1").get() == ["1", True, True, False]


def test_retries_run_at_once(app: Celeriac) -> None:
    @app.task(bind=True, max_retries=5)
    def task(self: Task[..., Any], x: int) -> int:
        if self.request.retries < 3:
            raise self.retry((x + 1,), countdown=1000)
        return x

    assert task.apply((0,)).get() == 3


def test_retries_end(app: Celeriac) -> None:
    @app.task(autoretry_for=(ValueError,), max_retries=2)
    def task() -> None:
        raise ValueError("in the end")

    assert repr(task.apply().result) == "ValueError('in the end')"


@pytest.mark.parametrize(("error", "state"), [(Ignore(), "IGNORED"), (Reject("no"), "REJECTED")])
def test_other_ends(app: Celeriac, error: Exception, state: str) -> None:
    @app.task
    def task() -> None:
        raise error

    assert task.apply().state == state


def test_what_a_worker_would_refuse(app: Celeriac) -> None:
    @app.task
    def task() -> None: ...

    result = task.apply(link={"task": "celery.group", "kwargs": {"tasks": [3]}, "subtask_type": "group"})
    assert result.failed()
    assert "made of signatures" in str(result.result)


def test_links_are_sent(app: Celeriac, worker: HandWorker) -> None:
    @app.task(name="t")
    def task(x: int) -> int:
        return x + 1

    result = task.apply((1,), link=task.s())
    (delivery,) = worker.waiting()
    assert delivery.message.headers["parent_id"] == result.id
    assert result.children is not None
    assert [child.id for child in result.children] == [delivery.message.headers["id"]]


def test_coroutines_run_in_a_loop_of_their_own_or_in_the_one_that_is_there(app: Celeriac) -> None:
    loops: list[Any] = []

    @app.task(bind=True)
    async def task(self: Task[..., Any]) -> str | None:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return self.request.id

    assert task.apply(task_id="1").get() == "1"

    async def main() -> None:
        assert task.apply(task_id="2").get() == "2"
        assert (await task.aapply(task_id="3")).get() == "3"
        assert loops[2] is asyncio.get_running_loop()
        assert len(set(loops)) == 3

    asyncio.run(main())


def test_store_eager_result(app: Celeriac) -> None:
    app.conf.task_store_eager_result = True

    @app.task
    def task() -> int:
        return 5

    task.apply(task_id="1")
    assert app.AsyncResult("1").get(timeout=0) == 5
    task.apply(task_id="2", ignore_result=True)
    assert app.AsyncResult("2").state == "PENDING"


# -- task_always_eager -------------------------------------------------------------------------------------------------


def test_everything_runs_in_place(eager: Celeriac, worker: HandWorker) -> None:
    @eager.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    async def main() -> list[Any]:
        results = [
            await add.adelay(1, 2),
            await add.aapply_async((1, 2)),
            *await add.adelay_many([(1, 2)]),
            await eager.asend_task("add", (1, 2)),
            *await eager.apublish_many([add.s(1, 2)]),
        ]
        return [await result.aget() for result in results]

    results = [
        add.delay(1, 2),
        add.apply_async((1, 2)),
        *add.delay_many([(1, 2)]),
        eager.send_task("add", (1, 2)),
        *eager.publish_many([add.s(1, 2)]),
        add.s(1).delay(2),
    ]
    assert all(isinstance(result, EagerResult) for result in results)
    assert [result.get() for result in results] == [3] * 6
    assert asyncio.run(main()) == [3] * 5
    assert worker.waiting() == []
    eager.send_task("not.known.here")
    assert len(worker.waiting()) == 1


def test_links_run_in_place_too(eager: Celeriac, worker: HandWorker) -> None:
    ran: list[Any] = []

    @eager.task
    def add(x: int, y: int) -> int:
        ran.append(x + y)
        return x + y

    @eager.task
    def errback(task_id: str) -> None:
        ran.append(task_id)

    @eager.task
    def fails() -> None:
        raise ValueError

    add.apply_async((1, 2), link=add.s(10).set(link=add.s(100)))
    fails.apply_async(task_id="1", link_error=errback.s())
    assert ran == [3, 13, 113, "1"]
    assert worker.waiting() == []


def test_inner_calls_know_their_parent(eager: Celeriac) -> None:
    @eager.task(bind=True)
    def inner(self: Task[..., Any]) -> Any:
        return [self.request.parent_id, self.request.root_id]

    @eager.task
    def outer() -> Any:
        return inner.delay().get()

    assert outer.apply_async(task_id="1").get() == ["1", "1"]
