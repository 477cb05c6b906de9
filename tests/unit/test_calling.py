"""What calls make of their options: messages, queues, times, priorities."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, Task, signals
from celeriac.canvas.freezing import new_id
from celeriac.exceptions import EncodeError, MessageTooLarge, NotSupported
from celeriac.message import Message, Publication
from celeriac.testing import VirtualClock
from hand_worker import HandWorker


@pytest.fixture
def add(app: Celeriac) -> Task[[int, int], int]:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    return add


def only(worker: HandWorker, queue: str = "celery") -> Message:
    (delivery,) = worker.waiting(queue)
    return delivery.message


def test_delay_sends_protocol_2(add: Task[[int, int], int], worker: HandWorker) -> None:
    result = add.apply_async((2,), {"y": 3})
    message = only(worker)
    assert message.headers["task"] == "add"
    assert message.headers["id"] == message.headers["root_id"] == message.properties["correlation_id"] == result.id
    assert message.headers["parent_id"] is None
    assert message.headers["argsrepr"] == "(2,)"
    assert message.body.startswith(b'[[2], {"y": 3}, ')
    assert isinstance(result, AsyncResult)


def test_adelay(add: Task[[int, int], int], worker: HandWorker) -> None:
    result = asyncio.run(add.adelay(2, 3))
    assert only(worker).headers["id"] == result.id


def test_options_reach_the_message(add: Task[[int, int], int], worker: HandWorker) -> None:
    add.apply_async(
        [2, 3],
        task_id="my-id",
        headers={"tenant": "acme"},
        shadow="shown",
        ignore_result=True,
        time_limit=10,
        soft_time_limit=5,
        reply_to="me",
        root_id="root",
        parent_id="parent",
        group_id="group",
        group_index=3,
        argsrepr="(secret)",
        delivery_mode=1,
        message_id="an extra property",
    )
    message = only(worker)
    for name, value in {
        "id": "my-id",
        "tenant": "acme",
        "shadow": "shown",
        "ignore_result": True,
        "timelimit": [10, 5],
        "root_id": "root",
        "parent_id": "parent",
        "group": "group",
        "group_index": 3,
        "argsrepr": "(secret)",
    }.items():
        assert message.headers[name] == value, name
    assert message.properties["reply_to"] == "me"
    assert message.properties["delivery_mode"] == 1
    assert message.properties["message_id"] == "an extra property"


def test_call_option_before_task_before_setting(app: Celeriac, worker: HandWorker) -> None:
    app.conf.update(task_default_queue="from setting", task_time_limit=3)

    @app.task(queue="from task", priority=4, time_limit=2, serializer="msgpack")
    def task() -> None: ...

    @app.task
    def plain() -> None: ...

    plain.delay()
    message = only(worker, "from setting")
    assert (message.headers["timelimit"], message.content_type) == ([None, None], "application/json")
    task.delay()
    message = only(worker, "from task")
    assert (message.headers["timelimit"], message.properties["priority"]) == ([2, None], 4)
    assert message.content_type == "application/x-msgpack"
    task.apply_async(queue="from call", priority=5, time_limit=1, serializer="json")
    message = only(worker, "from call")
    assert (message.headers["timelimit"], message.properties["priority"]) == ([1, None], 5)
    assert message.content_type == "application/json"


def test_settings_may_change_after_the_task_was_made(app: Celeriac, worker: HandWorker) -> None:
    @app.task
    def task() -> None: ...

    task.delay()
    app.conf.task_default_queue = "later"
    app.conf.task_compression = "zlib"
    task.delay()
    assert only(worker, "later").headers["compression"] == "application/x-gzip"
    assert task.compression == "zlib"


def test_countdown_is_due_later(add: Task[[int, int], int], worker: HandWorker, clock: VirtualClock) -> None:
    add.apply_async((1, 2), countdown=10)
    assert worker.waiting() == []
    clock.advance(10)
    eta = datetime.fromtimestamp(clock.time(), UTC)
    assert only(worker).headers["eta"] == eta.isoformat()


@pytest.mark.parametrize("countdown", [0, -5])
def test_a_countdown_that_is_over_sets_no_eta(add: Task[[int, int], int], worker: HandWorker, countdown: float) -> None:
    add.apply_async((1, 2), countdown=countdown)
    assert only(worker).headers["eta"] is None


def test_a_naive_eta_is_in_the_apps_timezone(
    app: Celeriac, add: Task[[int, int], int], worker: HandWorker, clock: VirtualClock
) -> None:
    app.conf.timezone = "Asia/Tokyo"
    add.apply_async((1, 2), eta=datetime(2023, 11, 15, 9, 0, 0))  # noqa: DTZ001 - the point of the test
    clock.set_wall(datetime(2023, 11, 15, 0, 0, 0, tzinfo=UTC).timestamp())
    assert only(worker).headers["eta"] == "2023-11-15T09:00:00+09:00"


@pytest.mark.parametrize(
    "expires", [60, 60.0, timedelta(minutes=1), datetime.fromtimestamp(1_700_000_060, UTC), "2023-11-14T22:14:20Z"]
)
def test_expires_by_every_way_to_say_it(
    add: Task[[int, int], int], worker: HandWorker, expires: float | datetime | timedelta | str
) -> None:
    add.apply_async((1, 2), expires=expires)
    message = only(worker)
    assert message.headers["expires"] == "2023-11-14T22:14:20+00:00"


def test_expires_of_the_task(app: Celeriac, worker: HandWorker) -> None:
    @app.task(expires=60)
    def task() -> None: ...

    task.delay()
    assert only(worker).headers["expires"] == "2023-11-14T22:14:20+00:00"


def test_links_become_signatures_of_the_body(add: Task[[int, int], int], worker: HandWorker) -> None:
    add.apply_async((1, 2), link=add.s(10), link_error=[add.s(1), add.si(2, 3)])
    body = only(worker).body.decode()
    assert '"callbacks": [{"task": "add", "args": [10], "kwargs": {}, "options": {}' in body
    assert body.count('"task"') == 3


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"coutndown": 3}, TypeError, "did you mean 'countdown'"),
        ({"exchange": "feeds", "routing_key": "feed.eu"}, NotSupported, "task_queues, and there are none: .*queue="),
        ({"priority": 10}, ValueError, "from 0"),
        ({"priority": "high"}, TypeError, "from 0"),
        ({"eta": 5}, TypeError, "countdown="),
        ({"eta": datetime.now(UTC), "countdown": 1}, TypeError, "one of them"),
        ({"expires": []}, TypeError, "seconds"),
        ({"link": "add"}, TypeError, r"task\.s"),
        ({"serializer": "xml"}, EncodeError, "xml"),
    ],
)
def test_options_that_can_not_be(
    add: Task[[int, int], int],
    worker: HandWorker,
    options: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        add.apply_async((1, 2), **options)
    assert worker.waiting() == []


def test_the_default_exchange_and_a_routing_key_name_a_queue(add: Task[[int, int], int], worker: HandWorker) -> None:
    add.apply_async((1, 2), exchange="", routing_key="other")
    assert only(worker, "other").headers["task"] == "add"


@pytest.mark.parametrize(
    ("args", "kwargs", "text"),
    [
        ((1,), {}, "add.*missing a required argument: 'y'"),
        ((1, 2, 3), {}, "too many"),
        ((1,), {"z": 1}, "add"),
        ((1, 2), {"y": 1}, "multiple values"),
        ("12", {}, "list or tuple"),
        ((1, 2), [1], "mapping"),
    ],
)
def test_arguments_are_checked_at_the_call(
    add: Task[..., int], worker: HandWorker, args: Any, kwargs: Any, text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        add.apply_async(args, kwargs)
    assert worker.waiting() == []


def test_arguments_are_not_checked_with_typing_false(app: Celeriac, worker: HandWorker) -> None:
    @app.task(typing=False)
    def task(x: int) -> None: ...

    task.apply_async((1, 2, 3))
    assert len(worker.waiting()) == 1


@pytest.mark.parametrize(
    ("call", "fits"),
    [
        ("f()", False),
        ("f(1)", True),
        ("f(1, 2)", True),
        ("f(1, 2, 3)", True),
        ("f(1, key=3)", True),
        ("f(1, other=3)", False),
    ],
)
def test_checking_knows_every_kind_of_parameter(app: Celeriac, call: str, fits: bool) -> None:
    @app.task
    def f(a: int, /, b: int = 0, *more: int, key: int = 0) -> None: ...

    @app.task
    def g(*, key: int) -> None: ...

    with pytest.raises(TypeError):
        g.apply_async(())
    g.delay(key=1)
    if fits:
        eval(call, {"f": f.delay})
    else:
        with pytest.raises(TypeError):
            eval(call, {"f": f.delay})


def test_an_argument_that_can_not_be_encoded_is_named(app: Celeriac) -> None:
    @app.task
    def task(x: object) -> None: ...

    with pytest.raises(EncodeError, match=r"args\[0\]"):
        task.delay(object())


def test_a_body_over_the_limit_is_refused(app: Celeriac) -> None:
    app.conf.task_message_size_limit = 100

    @app.task
    def task(x: str) -> None: ...

    with pytest.raises(MessageTooLarge, match="task_message_size_limit"):
        task.delay("x" * 100)


def test_send_task_needs_no_task(app: Celeriac, worker: HandWorker) -> None:
    result = app.send_task("elsewhere.add", (1,), {"y": 2}, queue="far", countdown=0)
    message = only(worker, "far")
    assert (message.headers["task"], message.headers["id"]) == ("elsewhere.add", result.id)
    assert message.headers["ignore_result"] is None
    asyncio.run(app.asend_task("elsewhere.add", queue="farther"))
    assert len(worker.waiting("farther")) == 1


def test_priorities_are_taken_in_order(app: Celeriac, worker: HandWorker) -> None:
    for priority in (5, 0, 9):
        app.send_task("x", priority=priority)
    assert [delivery.priority for delivery in worker.waiting()] == [0, 5, 9]


def test_task_default_priority(app: Celeriac, worker: HandWorker) -> None:
    app.conf.task_default_priority = 3
    app.send_task("x")
    assert worker.waiting()[0].priority == 3


# -- many --------------------------------------------------------------------------------------------------------------


def test_delay_many_streams_tuples_and_mappings(
    app: Celeriac, add: Task[[int, int], int], worker: HandWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[int] = []
    publish = app.broker.publish

    def counted(publications: Sequence[Publication]) -> None:
        trips.append(len(publications))
        publish(publications)

    monkeypatch.setattr(app.broker, "publish", counted)
    calls: list[tuple[int, int] | dict[str, int]] = [(number, 1) for number in range(6)]
    calls.append({"x": 1, "y": 2})
    results = add.delay_many(iter(calls), chunk_size=3, queue="many")
    assert trips == [3, 3, 1]
    deliveries = worker.waiting("many")
    assert [delivery.message.headers["id"] for delivery in deliveries] == [result.id for result in results]
    assert len({result.id for result in results}) == 7
    assert deliveries[0].message.headers["argsrepr"] == "(0, 1)"
    assert deliveries[6].message.headers["kwargsrepr"] == "{'x': 1, 'y': 2}"


def test_adelay_many(add: Task[[int, int], int], worker: HandWorker) -> None:
    results = asyncio.run(add.adelay_many(((number, 1) for number in range(5)), chunk_size=2))
    assert len(worker.waiting()) == len(results) == 5


def test_delay_many_refuses_what_is_no_call(add: Task[[int, int], int], worker: HandWorker) -> None:
    with pytest.raises(TypeError, match=r"\(5,\)"):
        add.delay_many([5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="missing"):
        add.delay_many([(1,)])
    with pytest.raises(TypeError, match="task_id"):
        add.delay_many([(1, 2), (3, 4)], task_id="one")
    with pytest.raises(ValueError, match="chunk_size"):
        add.delay_many([(1, 2)], chunk_size=0)
    assert add.delay_many([]) == []
    assert worker.waiting() == []


def test_publish_many_takes_signatures_of_any_task(
    app: Celeriac, add: Task[[int, int], int], worker: HandWorker
) -> None:
    signatures = [add.s(1, 2), add.s(1, y=2).set(queue="b"), app.signature("elsewhere", (1,), priority=3)]
    results = app.publish_many(signatures)
    assert [delivery.message.headers["task"] for delivery in worker.waiting()] == ["add", "elsewhere"]
    assert only(worker, "b").headers["id"] == results[1].id
    assert len(asyncio.run(app.apublish_many(iter(signatures)))) == 3


# -- signals -----------------------------------------------------------------------------------------------------------


def test_publish_signals(add: Task[[int, int], int], worker: HandWorker) -> None:
    seen: list[tuple[str, object, str]] = []

    def before(sender: object, headers: dict[str, Any], body: Any, routing_key: str, **_: Any) -> None:
        headers["traceparent"] = "00-abc"
        assert body[0] == (1, 2)
        seen.append(("before", sender, routing_key))

    def after(sender: object, headers: dict[str, Any], routing_key: str, **_: Any) -> None:
        seen.append(("after", sender, headers["traceparent"]))

    signals.before_task_publish.connect(before, sender=add)
    signals.after_task_publish.connect(after, sender="add")
    try:
        add.apply_async((1, 2), queue="q")
        add.delay_many([(1, 2)])
        asyncio.run(add.adelay(1, 2))
    finally:
        signals.before_task_publish.disconnect(before, sender=add)
        signals.after_task_publish.disconnect(after, sender="add")
    assert seen[:2] == [("before", "add", "q"), ("after", "add", "00-abc")]
    assert len(seen) == 6
    assert only(worker, "q").headers["traceparent"] == "00-abc"


def test_new_task_ids_are_random_uuids() -> None:
    from uuid import UUID

    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {UUID(task_id).version for task_id in ids} == {4}
    assert {UUID(task_id).variant for task_id in ids} == {"specified in RFC 4122"}
    assert all(str(UUID(task_id)) == task_id for task_id in ids)
