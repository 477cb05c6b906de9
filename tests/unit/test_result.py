"""Results as the caller holds them."""

from __future__ import annotations

import asyncio
import builtins
import copy
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, EagerResult, GroupResult, Task, allow_join_result, result_from_tuple
from celeriac.attempt import Attempt, Job
from celeriac.exceptions import IncompleteStream, NotSupported, TimeoutError  # noqa: A004 - Celery's name
from hand_worker import HandWorker
from storing import finish, record


@pytest.fixture
def divide(app: Celeriac) -> Task[[int, int], float]:
    @app.task(name="divide")
    def divide(x: int, y: int) -> float:
        return x / y

    return divide


def children_of(result: AsyncResult[Any]) -> list[AsyncResult[Any] | GroupResult] | None:
    return result.children


def test_before_and_after(divide: Task[[int, int], float], worker: HandWorker) -> None:
    result = divide.delay(6, 3)
    before = [result.state, result.status, result.result, result.ready(), result.exists(), result.date_done]
    assert before == ["PENDING", "PENDING", None, False, False, None]
    assert children_of(result) is None
    worker.run()
    assert (result.state, result.result, result.info) == ("SUCCESS", 2, 2)
    assert result.get(timeout=0) == result.wait(timeout=0) == 2
    assert result.ready()
    assert result.successful()
    assert not result.failed()
    assert result.exists()
    assert result.traceback is None
    assert result.children == []
    assert result.date_done == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert result.maybe_throw() == 2


def test_a_failure(divide: Task[[int, int], float], worker: HandWorker) -> None:
    result = divide.delay(1, 0)
    worker.run()
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        result.get(timeout=0)
    assert isinstance(result.get(timeout=0, propagate=False), ZeroDivisionError)
    assert result.failed()
    assert not result.successful()
    assert result.traceback is not None
    assert "ZeroDivisionError" in result.traceback
    with pytest.raises(ZeroDivisionError):
        result.maybe_reraise()


def test_the_same_for_asyncio(divide: Task[[int, int], float], worker: HandWorker) -> None:
    good, bad, never = divide.delay(6, 3), divide.delay(1, 0), divide.apply_async((1, 1), countdown=99)
    worker.run()

    async def main() -> None:
        assert await good.aget(timeout=0) == 2
        assert (await good.astate(), await good.aresult(), await good.aready()) == ("SUCCESS", 2, True)
        with pytest.raises(ZeroDivisionError):
            await bad.aget(timeout=0)
        assert isinstance(await bad.aget(propagate=False), ZeroDivisionError)
        assert await never.astate() == "PENDING"
        with pytest.raises(TimeoutError, match="divide"):
            await never.aget(timeout=0)
        await good.aforget()

    asyncio.run(main())
    assert good.state == "PENDING"


def test_waiting_is_woken(divide: Task[[int, int], float], worker: HandWorker) -> None:
    result = divide.delay(6, 3)
    values: list[Any] = []
    waiting = threading.Thread(target=lambda: values.append(result.get(timeout=10)))
    waiting.start()
    worker.run()
    waiting.join(10)
    assert values == [2]


def test_waiting_for_ever_goes_on_in_slices(
    divide: Task[[int, int], float], worker: HandWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.result.WAIT_SLICE", 0.001)
    result = divide.delay(6, 3)
    asking = threading.Event()
    wait_ready = result.backend.wait_ready

    def noted(task_id: str, timeout: float) -> Any:
        asking.set()
        return wait_ready(task_id, timeout)

    monkeypatch.setattr(result.backend, "wait_ready", noted)
    values: list[Any] = []
    waiting = threading.Thread(target=lambda: values.append(result.get()))
    waiting.start()
    assert asking.wait(10)
    worker.run()
    waiting.join(10)
    assert values == [2]


def test_timeout_says_which_task_and_what_to_do(divide: Task[[int, int], float]) -> None:
    result = divide.apply_async((1, 1), task_id="my-id")
    with pytest.raises(TimeoutError, match=r"divide\[my-id\] within 0 s \(state PENDING\).*worker"):
        result.get(timeout=0)
    with pytest.raises(builtins.TimeoutError):
        result.get(timeout=0)


def test_a_callback_gets_id_and_value(divide: Task[[int, int], float], worker: HandWorker) -> None:
    result = divide.delay(6, 3)
    worker.run()
    calls: list[Any] = []
    result.get(timeout=0, callback=lambda *arguments: calls.append(arguments))
    assert calls == [(result.id, 2)]


def test_custom_states(app: Celeriac, worker: HandWorker) -> None:
    seen: list[Any] = []

    @app.task(bind=True)
    def task(self: Task[..., Any]) -> None:
        self.update_state(state="PROGRESS", meta={"done": 5})
        result = self.AsyncResult(str(self.request.id))
        seen.append((result.state, result.info, result.ready()))

    @app.task(bind=True)
    async def coroutine(self: Task[..., Any]) -> None:
        await self.aupdate_state(state="PROGRESS", meta=6)
        seen.append(await self.AsyncResult(str(self.request.id)).aresult())

    task.delay()
    coroutine.delay()
    worker.run()
    assert seen == [("PROGRESS", {"done": 5}, False), 6]
    task.update_state("other", "HELD", "by hand")
    assert app.AsyncResult("other").info == "by hand"
    with pytest.raises(ValueError, match="task_id"):
        task.update_state(state="X")
    with pytest.raises(ValueError, match="state="):
        task.update_state("id")


def test_update_state_with_the_state_first_was_an_unhashable_dict(app: Celeriac) -> None:
    @app.task
    def task() -> None: ...

    with pytest.raises(TypeError, match="update_state\\(state='PROGRESS'"):
        task.update_state("PROGRESS", {"done": 1})  # type: ignore[arg-type]


def test_result_extended(app: Celeriac, divide: Task[[int, int], float], worker: HandWorker) -> None:
    app.conf.result_extended = True
    result = divide.apply_async((6,), {"y": 3}, queue="q")
    worker.run("q")
    assert (result.name, result.args, result.kwargs) == ("divide", [6], {"y": 3})
    assert (result.worker, result.retries, result.queue) == ("w1@host", 0, "q")


def test_children_are_results(app: Celeriac, divide: Task[[int, int], float], worker: HandWorker) -> None:
    @app.task
    def parent() -> None:
        divide.apply_async((6, 3), task_id="child")

    result = parent.delay()
    worker.run_all()
    assert result.children is not None
    (child,) = result.children
    assert (child.id, child.get(timeout=0)) == ("child", 2)


def test_forget(divide: Task[[int, int], float], worker: HandWorker) -> None:
    result = divide.delay(6, 3)
    worker.run()
    assert result.get(timeout=0) == 2
    result.forget()
    assert result.state == "PENDING"


def test_parents(app: Celeriac, divide: Task[[int, int], float], worker: HandWorker) -> None:
    first, second = divide.delay(1, 0), divide.delay(6, 3)
    worker.run()
    second.parent = first
    with pytest.raises(ZeroDivisionError):
        second.get(timeout=0)
    assert second.get(timeout=0, follow_parents=False) == 2
    again = result_from_tuple(second.as_tuple(), app)
    assert again == second
    assert again.parent == first
    second.forget()
    assert first.state == "PENDING"

    async def forget() -> None:
        await again.aforget()

    asyncio.run(forget())


def test_identity(app: Celeriac) -> None:
    result = app.AsyncResult("1")
    assert result == AsyncResult("1", app=app) == "1"
    assert result != app.AsyncResult("2")
    assert result != 1
    assert {result: 5}[app.AsyncResult("1")] == 5
    assert (str(result), repr(result), result.task_id) == ("1", "<AsyncResult: 1>", "1")
    assert copy.copy(result) == result
    assert result_from_tuple("1", app) == result_from_tuple(("1", None), app) == result
    with pytest.raises(ValueError, match="id"):
        app.AsyncResult("")


def test_without_results_asking_is_an_error() -> None:
    with (
        Celeriac("t", broker="memory://", backend="disabled://") as app,
        pytest.raises(NotSupported, match="result_backend"),
    ):
        app.AsyncResult("1").get(timeout=0)


def test_a_task_must_not_wait(app: Celeriac, divide: Task[[int, int], float], worker: HandWorker) -> None:
    done = divide.delay(6, 3)
    worker.run()
    seen: list[Any] = []

    @app.task
    def waits(how: str) -> None:
        if how == "allowed":
            with allow_join_result():
                seen.append(done.get(timeout=0))
        else:
            seen.append(done.get(timeout=0, disable_sync_subtasks=how == "plain"))

    @app.task
    async def awaits() -> None:
        seen.append(await done.aget(timeout=0))

    refused = waits.delay("plain")
    waits.delay("allowed")
    waits.delay("on own risk")
    awaits.delay()
    worker.run()
    assert seen == [2, 2, 2]
    with pytest.raises(RuntimeError, match="disable_sync_subtasks"):
        refused.get(timeout=0)
    assert waits.apply(("plain",)).successful()  # in place nothing can block


def test_eager_results_have_the_same_methods(app: Celeriac) -> None:
    good = EagerResult[int]("1", 5, "SUCCESS", name="t", app=app)
    bad = EagerResult[int]("2", ValueError("boom"), "FAILURE", "trace", app=app)
    assert (good.get(), good.state, good.ready(), good.successful(), good.exists()) == (5, "SUCCESS", True, True, True)
    assert (good.name, good.children, repr(good)) == ("t", None, "<EagerResult: 1>")
    with pytest.raises(ValueError, match="boom"):
        bad.get()
    assert (bad.traceback, repr(bad.get(propagate=False))) == ("trace", "ValueError('boom')")
    good.forget()

    async def main() -> None:
        assert (await good.aget(), await good.astate()) == (5, "SUCCESS")
        await good.aforget()

    asyncio.run(main())


def test_success_is_final(app: Celeriac, divide: Task[[int, int], float], worker: HandWorker) -> None:
    result = divide.apply_async((6, 3))
    (delivery,) = worker.waiting()
    worker.run()
    app.conf.task_track_started = True
    Attempt(app, Job(1, delivery.message, "celery"), worker.site).run()
    assert app.AsyncResult(result.id).state == "SUCCESS"


@pytest.mark.parametrize("by", ["task", "call", "setting"])
def test_get_of_an_ignored_result_waited_for_ever(app: Celeriac, worker: HandWorker, by: str) -> None:
    @app.task
    def five() -> int:
        return 5

    if by == "setting":
        app.conf.task_ignore_result = True
    if by == "task":
        five.ignore_result = True
    result = five.apply_async(ignore_result=True) if by == "call" else five.delay()
    assert result.ignored
    assert result.get(timeout=0) is None
    assert asyncio.run(result.aget(timeout=0)) is None
    worker.run()
    assert result.get(timeout=0) is None


def test_a_call_can_want_the_result_that_its_task_ignores(app: Celeriac, worker: HandWorker) -> None:
    @app.task(ignore_result=True)
    def five() -> int:
        return 5

    result = five.apply_async(ignore_result=False)
    worker.run()
    assert (result.ignored, result.get(timeout=0)) == (False, 5)


# -- what came of a task -----------------------------------------------------------------------------------------------


def tree_of(app: Celeriac) -> AsyncResult[Any]:
    """A task that sent a group of two, one of which sent another task."""
    group = GroupResult("g", [app.AsyncResult("1"), app.AsyncResult("2")], app=app)
    finish(app, "root", "r", children=[group.as_tuple()])
    finish(app, "1", "one", children=[app.AsyncResult("3").as_tuple()])
    finish(app, "2", "two", children=[])
    return app.AsyncResult("root")


def test_walking_along_what_came_of_a_task(app: Celeriac) -> None:
    root = tree_of(app)
    assert root.children == [GroupResult("g", [app.AsyncResult("1"), app.AsyncResult("2")], app=app)]
    with pytest.raises(IncompleteStream, match="3"):
        list(root.iterdeps())
    found = [(str(parent), str(node)) for parent, node in root.iterdeps(intermediate=True)]
    assert found == [("None", "root"), ("root", "g"), ("g", "1"), ("g", "2"), ("1", "3")]
    finish(app, "3", "three", children=[])
    values = [(str(node), value) for node, value in root.collect(timeout=0)]
    assert values == [("root", "r"), ("g", ["one", "two"]), ("1", "one"), ("2", "two"), ("3", "three")]
    assert root.get_leaf() == "three"
    graph = root.graph
    assert [str(node) for node in graph.topsort()][-1] == "root"
    assert graph.valency_of(root) == 4
    assert root.supports_native_join


def test_walking_for_asyncio(app: Celeriac) -> None:
    root = tree_of(app)

    async def main() -> None:
        with pytest.raises(IncompleteStream, match="3"):
            _ = [node async for node in root.aiterdeps()]
        found = [str(node) async for _, node in root.aiterdeps(intermediate=True)]
        assert found == ["root", "g", "1", "2", "3"]
        await app.backend.astore([record("3", "three", children=[])])
        values = [value async for _, value in root.acollect(timeout=0)]
        assert values == ["r", ["one", "two"], "one", "two", "three"]
        assert await root.aget_leaf() == "three"

    asyncio.run(main())


def test_what_was_before_as_a_list(app: Celeriac) -> None:
    parent = GroupResult("g", [app.AsyncResult("1"), app.AsyncResult("2")], app.AsyncResult("0"), app)
    assert AsyncResult("3", app=app, parent=parent).as_list() == ["3", "1", "2", "0"]


def test_the_result_of_a_task_that_sent_a_very_long_chain_could_not_be_stored(
    app: Celeriac, worker: HandWorker
) -> None:
    @app.task(bind=True)
    def sends(self: Task[..., Any]) -> int:
        result = app.AsyncResult("0")
        for number in range(1, 2000):
            result = AsyncResult(str(number), app=app, parent=result)
        self.request.children.append(result)
        return 5

    sent = sends.delay()
    worker.run()
    assert sent.get(timeout=0) == 5
    assert sent.children == [app.AsyncResult("1999")]
