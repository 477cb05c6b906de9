"""Declaring tasks: names, options, kinds, classes, and tasks shared by all apps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac, CoroutineTask, Task, shared_task
from celeriac.current import set_current_app
from hand_worker import HandWorker


def plain(x: int, y: int = 1) -> int:
    """Adds."""
    return x + y


async def coroutine(x: int) -> int:
    await asyncio.sleep(0)
    return x


def test_a_task_is_still_the_function(app: Celeriac) -> None:
    task = app.task(plain)
    assert task(1, y=2) == 3
    assert (task.__name__, task.__doc__, task.__wrapped__) == ("plain", "Adds.", plain)  # type: ignore[attr-defined]
    assert repr(task) == "<Task: tests.unit.test_task.plain>"
    assert asyncio.run(_awaited(app.task(coroutine), 5)) == 5


async def _awaited(task: CoroutineTask[[int], int], x: int) -> int:
    return await task(x)


def test_names(app: Celeriac) -> None:
    assert app.task(plain).name == "tests.unit.test_task.plain"
    assert app.task(name="mine")(plain).name == "mine"

    def program() -> None: ...

    program.__module__ = "__main__"
    assert app.task(program).name == "tests.program"
    with Celeriac(broker="memory://", set_as_current=False) as nameless:
        assert nameless.task(program).name == "__main__.program"


def test_names_by_a_rule_of_ones_own() -> None:
    class Short(Celeriac):
        def gen_task_name(self, function: Any) -> str:
            return f"short.{function.__name__}"

    with Short("x", broker="memory://") as app:
        assert app.task(plain).name == "short.plain"


def test_bind_gives_the_task_first(app: Celeriac) -> None:
    @app.task(bind=True)
    def name_of(self: Task[..., Any], mark: str) -> str:
        return self.name + mark

    assert name_of("!") == "tests.unit.test_task.name_of!"
    with pytest.raises(TypeError, match="missing"):
        name_of.delay()  # type: ignore[call-arg]


def test_defaults_come_from_settings(app: Celeriac) -> None:
    task = app.task(plain)
    assert (task.serializer, task.ignore_result, task.acks_late) == ("json", False, True)
    app.conf.update(task_serializer="yaml", task_ignore_result=True, task_acks_late=False, task_time_limit=3)
    assert (task.serializer, task.ignore_result, task.acks_late) == ("yaml", True, False)
    assert task.time_limit is None, "the setting is the worker's own, which --time-limit overrides"
    assert (task.max_retries, task.default_retry_delay, task.resultrepr_maxsize) == (3, 180, 1024)


def test_a_class_attribute_goes_before_the_setting_and_an_option_before_both(app: Celeriac) -> None:
    class Base(Task[..., Any]):
        serializer = "yaml"
        max_retries = 7
        connection: Any = None

        def __init__(self) -> None:
            self.made = True

    task = app.task(base=Base, max_retries=8, connection="db")(plain)  # type: ignore[call-overload]
    assert isinstance(task, Base)
    assert (task.serializer, task.max_retries, task.connection, task.made) == ("yaml", 8, "db", True)


def test_task_cls_of_the_app(app: Celeriac) -> None:
    class Base(Task[..., Any]):
        pass

    with Celeriac("x", broker="memory://", task_cls=Base) as other:
        assert isinstance(other.task(plain), Base)
        assert isinstance(other.task(coroutine), Base)


def test_filter_wraps_the_function(app: Celeriac) -> None:
    def doubled(function: Any) -> Any:
        return lambda x: 2 * function(x)

    task = app.task(filter=doubled)(plain)
    assert task(1) == 4
    assert task.apply((1,)).get() == 4


def test_only_functions_become_tasks(app: Celeriac) -> None:
    with pytest.raises(TypeError, match="of a function"):
        app.task(5)  # type: ignore[call-overload]


# -- executors ---------------------------------------------------------------------------------------------------------


def test_executor_kinds(app: Celeriac) -> None:
    assert app.task(plain).executor_kind(app) is None
    assert app.task(coroutine).executor_kind(app) == "asyncio"
    assert app.task(executor="thread", name="t")(plain).executor_kind(app) == "thread"
    assert app.task(executor="process", name="p")(coroutine).executor_kind(app) == "process"
    assert app.task(executor="asyncio", name="a")(coroutine).executor_kind(app) == "asyncio"
    app.conf.task_executor = "thread"
    assert app.task(plain).executor_kind(app) == "thread"
    assert app.task(coroutine).executor_kind(app) == "asyncio"


def test_executors_that_can_not_be(app: Celeriac) -> None:
    with pytest.raises(ValueError, match="async def"):
        app.task(executor="asyncio")(plain)
    with pytest.raises(ValueError, match="'process', 'thread', 'asyncio'"):
        app.task(executor="gpu")(plain)  # type: ignore[call-overload]


# -- classes -----------------------------------------------------------------------------------------------------------


class Count(Task[[int], int]):
    """One instance for each process."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def run(self, x: int) -> int:
        self.seen.append(x)
        return len(self.seen)


class Later(CoroutineTask[[int], int]):
    name = "later"

    async def run(self, x: int) -> int:
        await asyncio.sleep(0)
        return x + 1


def test_class_based_tasks(app: Celeriac, worker: HandWorker) -> None:
    count = app.register_task(Count())
    assert count.name == "tests.unit.test_task.Count"
    assert app.tasks[count.name] is count
    results = [count.delay(5), count.apply_async(kwargs={"x": 6})]
    worker.run()
    assert [result.get(timeout=0) for result in results] == [1, 2]
    assert count(7) == 3
    assert not count.is_coroutine
    with pytest.raises(TypeError, match="missing"):
        count.delay()  # type: ignore[call-arg]


def test_classes_of_coroutine_tasks_can_be_given_as_they_are(app: Celeriac) -> None:
    later = app.register_task(Later)
    assert later.is_coroutine
    assert later.executor_kind(app) == "asyncio"
    assert later.apply((1,)).get() == 2


def test_a_class_without_run_says_so(app: Celeriac) -> None:
    class Empty(Task[[], None]):
        pass

    empty = app.register_task(Empty())
    with pytest.raises(NotImplementedError, match="run"):
        empty()


def test_on_bound_tells_the_app(app: Celeriac) -> None:
    bound: list[Any] = []

    class Base(Task[..., Any]):
        def on_bound(self, app: Celeriac) -> None:
            bound.append((self.name, app))

    app.task(base=Base, name="t")(plain)
    assert bound == [("t", app)]


# -- shared ------------------------------------------------------------------------------------------------------------


def test_a_shared_task_belongs_to_every_app(app: Celeriac) -> None:
    assert app.tasks is not None  # finalized before

    @shared_task(name="shared.everywhere", max_retries=9)
    def task(x: int) -> int:
        return x

    with Celeriac("later", broker="memory://later", set_as_current=False) as later:
        for each in (app, later):
            twin = each.tasks["shared.everywhere"]
            assert twin is not task
            assert (twin.app, twin.max_retries, twin(5)) == (each, 9, 5)
    assert task.bound_app is None
    assert task(6) == 6


def test_a_shared_task_is_sent_by_the_current_app(app: Celeriac, worker: HandWorker) -> None:
    @shared_task(bind=True, name="shared.current")
    def task(self: Task[..., Any], x: int) -> list[Any]:
        return [self.app.main, self.request.id, x]

    assert task.app is app
    result = task.delay(5)
    worker.run()
    assert result.get(timeout=0) == ["tests", result.id, 5]
    with Celeriac("other", broker="memory://other") as other:
        other.conf.task_default_queue = "q"
        assert task.app is other
        assert task.s(1).app is other
        task.apply_async((6,))
        assert len(HandWorker(other).waiting("q")) == 1
    set_current_app(app)


def test_a_shared_task_runs_with_its_own_state_in_each_app(app: Celeriac) -> None:
    told: list[Any] = []

    def note(self: Task[..., Any], *_: Any) -> None:
        told.append(self.app.main)

    @shared_task(name="shared.handlers", on_success=note)
    def task() -> None: ...

    with Celeriac("other", broker="memory://other", set_as_current=False) as other:
        app.tasks["shared.handlers"].apply()
        other.tasks["shared.handlers"].apply()
    assert told == ["tests", "other"]


def test_an_apps_own_task_goes_before_a_shared_one(app: Celeriac) -> None:
    @app.task(name="shared.covered")
    def own() -> str:
        return "own"

    @shared_task(name="shared.covered")
    def task() -> str:
        return "shared"

    assert app.tasks["shared.covered"] is own


def test_shared_without_parentheses_and_as_an_option(app: Celeriac) -> None:
    @shared_task
    async def shared_coroutine() -> int:
        return 5

    assert app.tasks[shared_coroutine.name].is_coroutine

    @app.task(shared=True, name="shared.by option")
    def task() -> None: ...

    with Celeriac("other", broker="memory://other", set_as_current=False) as other:
        assert "shared.by option" in other.tasks


# -- annotations -------------------------------------------------------------------------------------------------------


class Annotate:
    def annotate(self, task: Task[..., Any]) -> dict[str, Any] | None:
        return {"rate_limit": "1/s"} if task.name == "a" else None


def test_task_annotations(app: Celeriac) -> None:
    app.conf.task_annotations = [{"*": {"max_retries": 9}, "a": {"time_limit": 5}}, Annotate()]
    a, b = app.task(name="a")(plain), app.task(name="b")(plain)
    assert app.tasks["a"] is a
    assert (a.max_retries, a.time_limit, a.rate_limit) == (9, 5, "1/s")
    assert (b.max_retries, b.time_limit, b.rate_limit) == (9, None, None)
    late = app.task(name="late")(plain)
    assert late.max_retries == 9


def test_annotations_of_all_tasks_leave_out_those_that_only_workers_of_this_package_run(app: Celeriac) -> None:
    app.conf.task_annotations = {"*": {"autoretry_for": (Exception,), "time_limit": 5}}
    for name in ("celeriac.join_chord", "celeriac.call_errback"):
        assert (app.tasks[name].autoretry_for, app.tasks[name].time_limit) == ((), None)
    assert app.tasks["celery.map"].time_limit == 5  # it runs tasks of the program


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "wants"),
    [
        (lambda task_id: None, (), {}, False),
        (lambda request, exc, traceback: None, (), {}, True),
        (lambda *args: None, (), {}, True),
        (lambda request, exc, traceback, *, label: None, (), {"label": 1}, True),
        (lambda task_id, *, label: None, (), {"label": 1}, False),
        (lambda task_id, label: None, (), {"label": 1}, False),
        (lambda task_id, label: None, (1,), {}, False),
        (lambda task_id, label: None, (), {}, True),
        (lambda request, exc, traceback, label: None, (1,), {}, True),
    ],
)
def test_which_errbacks_take_the_exception(
    app: Celeriac, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], wants: bool
) -> None:
    task = app.task(name="errback")(function)
    assert task.is_errback_with_exception(task.signature(args, kwargs)) is wants
