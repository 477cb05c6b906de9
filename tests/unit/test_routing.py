"""Where calls go: options, attributes of tasks, `task_routes` in all its forms, and brokers without exchanges."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from celeriac import Broadcast, Celeriac, Exchange, Queue, Task, signals, worker_direct
from celeriac.exceptions import ImproperlyConfigured, NotSupported, QueueNotFound
from celeriac.publications import Call, make_publication, make_publications
from hand_worker import HandWorker

_FEEDS = Exchange("feeds", type="topic")
_QUEUES = [
    Queue("celery"),
    Queue("feeds", _FEEDS, "feed.#"),
    Queue("eu", _FEEDS, "feed.*.eu"),
    Queue("news", Exchange("news", "fanout", delivery_mode=1)),
    Queue("red", Exchange("h", "headers"), binding_arguments={"colour": "red"}),
]


@pytest.fixture
def routed(app: Celeriac) -> Celeriac:
    app.conf.task_queues = _QUEUES
    return app


def way(app: Celeriac, name: str = "t", task: Task[..., Any] | None = None, **options: Any) -> tuple[str, ...]:
    """The queue, or exchange and key."""
    made = make_publication(app, Call(name, (1,), {"k": 2}, options, task, checked=task is not None))
    return (made.queue,) if made.exchange is None else (made.exchange, made.routing_key)


class ByClass:
    """Celery's routers of old."""

    def route_for_task(self, task: str, args: Any = None, kwargs: Any = None) -> Any:
        return {"queue": "by class"} if task == "mine" and args == (1,) and kwargs == {"k": 2} else None


def by_function(
    name: str, args: Any, kwargs: Any, options: Mapping[str, Any], task: Any = None, **more: Any
) -> str | None:
    return "by function" if name == "mine" else None


# -- options of calls and attributes of tasks --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("celery",)),
        ({"queue": "other"}, ("other",)),
        ({"queue": "feeds"}, ("feeds", "feed.#")),
        ({"queue": "feeds", "routing_key": "feed.sport"}, ("feeds", "feed.sport")),
        ({"queue": "news"}, ("news", "celery")),
        ({"exchange": "feeds", "routing_key": "feed.sport"}, ("feeds", "feed.sport")),
        ({"exchange": "media", "routing_key": "video"}, ("media", "video")),
        ({"exchange": Exchange("media", "topic"), "routing_key": "video"}, ("media", "video")),
        ({"exchange": "media", "exchange_type": "fanout"}, ("media", "")),
        ({"exchange": "news"}, ("news", "")),
        ({"exchange": "media"}, ("celery",)),
        ({"routing_key": "video"}, ("celery",)),
        ({"exchange": "", "routing_key": "video"}, ("video",)),
        ({"exchange": ""}, ("celery",)),
        ({"queue": Queue("new", Exchange("media", "topic"), "video.#")}, ("media", "video.#")),
        ({"queue": worker_direct("w1@host")}, ("w1@host.dq2",)),
        ({"queue": "w1@host.dq2"}, ("w1@host.dq2",)),
        ({"queue": None, "exchange": None, "routing_key": None}, ("celery",)),
    ],
)
def test_options(routed: Celeriac, options: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert way(routed, **options) == expected


def test_a_queue_that_was_given_once_is_known_by_name(app: Celeriac) -> None:
    queue = Queue("new", Exchange("media", "topic"), "video.#")
    assert way(app, queue=queue) == way(app, queue="new") == ("media", "video.#")
    assert way(app, queue=Queue("new", Exchange("media", "topic"), "other")) == way(app, queue="new")
    assert way(app, queue="new") == ("media", "other")


def test_attributes_of_the_task_come_after_options(routed: Celeriac) -> None:
    @routed.task(queue="feeds", routing_key="feed.own")
    def task() -> None: ...

    assert way(routed, task.name, task) == ("feeds", "feed.own")
    assert way(routed, task.name, task, routing_key="feed.call") == ("feeds", "feed.call")
    assert way(routed, task.name, task, queue="other") == ("other",)
    assert way(routed, task.name, task, queue=None) == ("feeds", "feed.own")


def test_a_task_with_objects(app: Celeriac) -> None:
    @app.task(queue=Queue("own", _FEEDS, "feed.own"), exchange=Exchange("media", "topic"), routing_key="a")
    def task() -> None: ...

    assert way(app, task.name, task) == ("media", "a")


def test_no_queue_is_made_where_none_shall_be(routed: Celeriac) -> None:
    routed.conf.task_create_missing_queues = False
    assert way(routed, queue="eu") == ("feeds", "feed.*.eu")
    with pytest.raises(QueueNotFound, match="'eus' is not in task_queues"):
        way(routed, queue="eus")


def test_mandatory_unless_it_is_a_fanout(routed: Celeriac) -> None:
    def mandatory(**options: Any) -> bool:
        return make_publication(routed, Call("t", (), {}, options)).mandatory

    assert mandatory(queue="feeds")
    assert mandatory(exchange="media", routing_key="x")
    assert not mandatory(queue="news")
    assert mandatory(queue="news", mandatory=True)
    assert not mandatory(queue="feeds", mandatory=False)


def test_delivery_mode_of_the_exchange(routed: Celeriac) -> None:
    @routed.task
    def plain() -> None: ...

    @routed.task(delivery_mode=2)
    def own() -> None: ...

    def mode(task: Task[..., Any] | None, **options: Any) -> int:
        found: int = make_publication(routed, Call("t", (), {}, options, task)).message.properties["delivery_mode"]
        return found

    assert (mode(None), mode(None, queue="news"), mode(plain, queue="news")) == (2, 1, 1)
    assert (mode(own, queue="news"), mode(plain, queue="news", delivery_mode=2)) == (2, 2)


# -- task_routes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ({"mine": "a"}, ("a",)),
        ({"mine": {"queue": "a"}}, ("a",)),
        ({"mine": Queue("a", _FEEDS, "feed.a")}, ("feeds", "feed.a")),
        ({"mine": {"queue": "feeds", "routing_key": "feed.x"}}, ("feeds", "feed.x")),
        ({"mine": {"exchange": "media", "routing_key": "video", "exchange_type": "topic"}}, ("media", "video")),
        ({"mine": {"routing_key": "feed.x"}}, ("celery",)),
        ({"mi*": "glob", "mine": "exact"}, ("exact",)),
        ({"m*": "first", "mi*": "second"}, ("first",)),
        ({"x.*": "a", "*n*": "b"}, ("b",)),
        ({"mi?e": "no glob without a star"}, ("celery",)),
        ({re.compile("m.n"): "regex"}, ("regex",)),
        ({re.compile("ine"): "only at the start"}, ("celery",)),
        ([("mi*", "a"), ("mine", "b")], ("a",)),
        ([("x", "a"), ("mine", {"queue": "b"})], ("b",)),
        ([[("mi*", "a"), ("mine", "b")]], ("b",)),
        ((({"x": "a"}), {"mine": "b"}), ("b",)),
        ("test_routes.by_function", ("by function",)),
        ("test_routes:ByClass", ("by class",)),
        (by_function, ("by function",)),
        (ByClass(), ("by class",)),
        ([{"x": "a"}, by_function], ("by function",)),
        (["test_routes.ByClass", by_function], ("by class",)),
        ([lambda *_, **__: None, lambda *_, **__: {"queue": "second"}], ("second",)),
        ([lambda *_, **__: {}, by_function], ("celery",)),
        ({}, ("celery",)),
        (None, ("celery",)),
    ],
)
def test_all_forms(routed: Celeriac, routes: Any, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("test_routes")
    vars(module).update(ByClass=ByClass, by_function=by_function)
    monkeypatch.setitem(sys.modules, "test_routes", module)
    routed.conf.task_routes = routes
    assert way(routed, "mine") == expected
    assert way(routed, "mine") == expected  # what is kept from the first time
    assert way(routed, "other's")[0] in {"celery", "second"}


def test_routes_may_be_json_on_a_command_line(routed: Celeriac) -> None:
    routed.conf.task_routes = ' {"mine": {"queue": "a"}}'
    assert way(routed, "mine") == ("a",)
    with pytest.raises(ImproperlyConfigured):
        routed.conf.task_routes = "{mine}"


def test_what_comes_before_what(routed: Celeriac) -> None:
    routed.conf.task_routes = {"t": {"queue": "routed", "priority": 7, "serializer": "msgpack", "time_limit": 9}}

    @routed.task
    def plain() -> None: ...

    @routed.task(queue="own", priority=3)
    def own() -> None: ...

    made = make_publication(routed, Call("t", (), {}, {}, plain))
    assert (made.queue, made.priority, made.message.content_type) == ("routed", 7, "application/x-msgpack")
    assert made.message.headers["timelimit"] == [9, None]
    made = make_publication(routed, Call("t", (), {}, {}, own))
    assert (made.queue, made.priority, made.message.content_type) == ("own", 3, "application/x-msgpack")
    made = make_publication(routed, Call("t", (), {}, {"priority": 1, "serializer": "json"}, own))
    assert (made.priority, made.message.content_type) == (1, "application/json")


def test_a_router_sees_the_call(routed: Celeriac) -> None:
    seen: list[Any] = []

    def router(*args: Any, **kwargs: Any) -> None:
        seen.append((args, kwargs))

    routed.conf.task_routes = (router,)

    @routed.task(name="t", queue="eu")
    def task(x: int, k: int) -> None: ...

    assert way(routed, "t", task, priority=3) == ("feeds", "feed.*.eu")
    options = {"priority": 3, "queue": routed.topology.queue("eu")}
    assert seen == [(("t", (1,), {"k": 2}, options), {"task": task})]


def test_a_router_is_asked_for_each_of_many_calls(routed: Celeriac) -> None:
    routed.conf.task_routes = lambda name, args, kwargs, options, task=None: f"q{args[0]}"
    made = make_publications(routed, [Call("t", (number,), {}) for number in range(3)])
    assert [each.queue for each in made] == ["q0", "q1", "q2"]


def test_routes_may_change(routed: Celeriac) -> None:
    routed.conf.task_routes = {"t": "a"}
    assert way(routed) == ("a",)
    routed.conf.task_routes = {"t": "b"}
    assert way(routed) == ("b",)
    del routed.conf.task_routes
    assert way(routed) == ("celery",)
    routed.conf.task_default_queue = "d"
    assert way(routed) == ("d",)


def test_what_is_kept_has_a_bound(routed: Celeriac) -> None:
    routed.conf.task_routes = {"t*": "a"}
    for number in range(2500):
        assert way(routed, f"t{number}", queue=f"q{number}" if number % 2 else None)
    assert len(routed.router._found) <= 1000
    assert len(routed.router._of_queues) <= 1000


@pytest.mark.parametrize(
    ("routes", "text"),
    [
        (3, "3 is none of them"),
        ({"a": 3}, "the route of 'a' is 3"),
        ([("a", "b", "c")], "'a' is no pair of a pattern and a route"),
        ([3], "3 is none of them"),
        ({3: "a"}, "no pair of a pattern and a route"),
    ],
)
def test_wrong_routes_are_named(app: Celeriac, routes: Any, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        app.conf.task_routes = routes


@pytest.mark.parametrize(
    ("routes", "error", "text"),
    [
        ("nowhere.at_all", ImproperlyConfigured, r"'nowhere.at_all', which can not be imported .*'module.function'"),
        ("name", ImproperlyConfigured, "can not be imported"),
        ({"t": {"queu": "a"}}, TypeError, "task_routes: 'queu' is no call option: did you mean 'queue'"),
        ({"t": {"priority": 99}}, ValueError, "task_routes: call option 'priority'"),
        (lambda *_, **__: 3, TypeError, "task_routes of task t gives 3: expected a queue or a dictionary"),
    ],
)
def test_wrong_answers_are_named(app: Celeriac, routes: Any, error: type[Exception], text: str) -> None:
    app.conf.task_routes = routes
    with pytest.raises(error, match=text):
        way(app)


# -- brokers without exchanges -----------------------------------------------------------------------------------------


def test_a_topic_reaches_all_its_queues(routed: Celeriac, worker: HandWorker) -> None:
    result = routed.send_task("t", exchange="feeds", routing_key="feed.sport.eu", priority=3)
    for queue in ("feeds", "eu"):
        (delivery,) = worker.waiting(queue)
        assert (delivery.head.id, delivery.priority) == (result.id, 3)
    assert worker.waiting() == []


def test_headers_and_fanout(routed: Celeriac, worker: HandWorker) -> None:
    routed.send_task("t", queue="red", headers={"colour": "red"})
    routed.send_task("t", queue="news")
    assert len(worker.waiting("red")) == len(worker.waiting("news")) == 1


def test_what_nobody_would_get_is_an_error(routed: Celeriac, worker: HandWorker) -> None:
    with pytest.raises(QueueNotFound, match="exchange 'feeds' with routing key 'x': task t would be lost"):
        routed.send_task("t", exchange="feeds", routing_key="x")
    with pytest.raises(NotSupported, match=r"memory.* has no exchanges.*add celeriac\.Queue"):
        routed.send_task("t", exchange="media", routing_key="x")
    routed.send_task("t", exchange="feeds", routing_key="x", mandatory=False)
    assert all(worker.waiting(queue.name) == [] for queue in _QUEUES)


def test_a_broadcast_can_not_be_sent(app: Celeriac) -> None:
    app.conf.task_queues = [Broadcast("all")]
    with pytest.raises(NotSupported, match="use RabbitMQ"):
        app.send_task("t", queue="all")


def test_signals_tell_the_exchange(routed: Celeriac) -> None:
    seen: list[tuple[str, str]] = []

    def listen(exchange: str, routing_key: str, **_: Any) -> None:
        seen.append((exchange, routing_key))

    signals.before_task_publish.connect(listen)
    signals.after_task_publish.connect(listen)
    try:
        routed.send_task("t", queue="eu")
        routed.send_task("t", queue="mail")
    finally:
        signals.before_task_publish.disconnect(listen)
        signals.after_task_publish.disconnect(listen)
    assert seen == [("feeds", "feed.*.eu")] * 2 + [("", "mail")] * 2


def test_links_go_by_exchanges_too(routed: Celeriac, worker: HandWorker) -> None:
    @routed.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    add.apply_async((1, 2), link=add.s(3).set(queue=Queue("own", _FEEDS, "feed.us"), routing_key="feed.sport.eu"))
    worker.run()
    assert [len(worker.waiting(queue)) for queue in ("celery", "feeds", "eu", "own")] == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("options", "queues"),
    [
        ({"exchange": "feeds", "routing_key": "feed.sport.eu"}, ["feeds", "eu"]),
        ({"queue": "red", "headers": {"colour": "red"}}, ["red"]),
        ({"queue": "other"}, ["other"]),
        ({"routing_key": "other"}, ["celery"]),
        ({"queue": Queue("celery")}, ["celery"]),
    ],
)
def test_a_retry_elsewhere(routed: Celeriac, worker: HandWorker, options: dict[str, Any], queues: list[str]) -> None:
    @routed.task(name="again", bind=True)
    def again(self: Task[..., Any]) -> None:
        raise self.retry(countdown=0, **options)

    again.delay()
    worker.run()
    found = {name: worker.waiting(name) for name in ("celery", "feeds", "eu", "red", "other")}
    assert [name for name, waiting in found.items() if waiting] == queues
    assert all(waiting[0].message.headers["retries"] == 1 for waiting in found.values() if waiting)


def test_what_runs_in_place_runs_once(routed: Celeriac) -> None:
    routed.conf.task_always_eager = True
    seen: list[int] = []

    @routed.task(name="note")
    def note(number: int) -> None:
        seen.append(number)

    @routed.task(name="first", exchange="unknown", routing_key="x")
    def first() -> int:
        return 1

    first.apply_async(link=note.s().set(exchange="feeds", routing_key="feed.sport.eu"))
    assert seen == [1]


def test_queues_can_be_selected(routed: Celeriac) -> None:
    assert routed.select_queues("eu, feeds") == ("eu", "feeds")
    assert routed.topology.names == ("eu", "feeds")
