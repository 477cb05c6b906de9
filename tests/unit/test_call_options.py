"""Options of calls: one check for all of them, wherever they are given."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Celeriac, Task
from celeriac.call_options import _PLAIN, CALL_OPTION_NAMES, checked_options
from celeriac.exceptions import EncodeError
from celeriac.message import Message
from hand_worker import HandWorker


@pytest.fixture
def add(app: Celeriac) -> Task[..., int]:
    @app.task(name="add")
    def add(x: int, y: int = 1) -> int:
        return x + y

    return add


def only(worker: HandWorker) -> Message:
    (delivery,) = worker.waiting()
    return delivery.message


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"time_limit": "x"},
        TypeError,
        r"'time_limit' of task add is 'x' \(str\): expected a number of seconds or a time",
    ),
    ({"time_limit": 0}, ValueError, "above 0"),
    ({"soft_time_limit": -1}, ValueError, "above 0"),
    ({"shadow": 3}, TypeError, "text"),
    ({"root_id": 3}, TypeError, "text"),
    ({"group_id": 3}, TypeError, "text"),
    ({"task_id": 3}, TypeError, "text"),
    ({"task_id": ""}, ValueError, "a name"),
    ({"queue": 3}, TypeError, "name of a queue, or a celeriac.Queue"),
    ({"exchange": 3}, TypeError, "name of an exchange, or a celeriac.Exchange"),
    ({"mandatory": 1}, TypeError, "True or False"),
    ({"queue": ""}, ValueError, "a name"),
    ({"routing_key": ""}, ValueError, "a name"),
    ({"retries": "x"}, TypeError, "whole number"),
    ({"retries": -1}, ValueError, "at least 0"),
    ({"group_index": -1}, ValueError, "at least 0"),
    ({"countdown": float("nan")}, TypeError, "seconds"),
    ({"countdown": float("inf")}, ValueError, "seconds"),
    ({"countdown": "1"}, TypeError, "seconds or a timedelta"),
    ({"countdown": 1e12}, ValueError, "100 years"),
    ({"countdown": True}, TypeError, "seconds"),
    ({"eta": 5}, TypeError, "countdown="),
    ({"eta": datetime(2030, 1, 1, tzinfo=UTC), "countdown": 1}, TypeError, "one of them"),
    ({"expires": "x"}, ValueError, "ISO"),
    ({"expires": 1e12}, ValueError, "100 years"),
    ({"expires": []}, TypeError, "a datetime"),
    ({"priority": 33}, ValueError, "from 0 to 9"),
    ({"priority": True}, TypeError, "from 0 to 9"),
    ({"headers": 3}, TypeError, "a dictionary"),
    ({"properties": 3}, TypeError, "a dictionary"),
    ({"link": "add"}, TypeError, r"such as task\.s"),
    ({"link_error": [3]}, TypeError, r"such as task\.s"),
    ({"ignore_result": "no"}, TypeError, "True or False"),
    ({"retry": "no"}, TypeError, "True or False"),
    ({"retry_policy": 3}, TypeError, "a dictionary"),
    ({"retry_policy": {"max_retrie": 1}}, TypeError, "did you mean 'max_retries'"),
    ({"retry_policy": {"max_retries": "1"}}, TypeError, "whole number"),
    ({"retry_policy": {"max_retries": None}}, ValueError, "for ever"),
    ({"retry_policy": {"interval_start": -1}}, ValueError, "expected for 'interval_start' a number"),
    ({"delivery_mode": 3}, TypeError, "one of 1, 2"),
    ({"user_id": 3}, TypeError, "text"),
    ({"timestamp": "now"}, TypeError, "whole number"),
    ({"timeout": 3}, TypeError, "'timeout' is no call option: .*args= or kwargs="),
    ({"delay": 3}, TypeError, "'delay' is no call option"),
    ({"foo": 3}, TypeError, "'foo' is no call option"),
    ({"coutndown": 3}, TypeError, "did you mean 'countdown'"),
    ({"exchange_type": ""}, ValueError, "a name"),
    ({"declare": []}, TypeError, "queue=, or add it to task_queues"),
    ({"router": None}, TypeError, "task_routes"),
]
IDS = [repr(case[0]) for case in BAD]


@pytest.mark.parametrize(("options", "error", "text"), BAD, ids=IDS)
def test_options_that_can_not_be_are_refused_by_every_way_to_send(
    app: Celeriac, add: Task[..., int], worker: HandWorker, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    for send in (
        lambda: add.apply_async((1, 2), **options),
        lambda: asyncio.run(add.aapply_async((1, 2), **options)),
        lambda: add.apply((1, 2), **options),
        lambda: app.send_task("add", (1, 2), **options),
        lambda: asyncio.run(app.asend_task("add", (1, 2), **options)),
        lambda: add.s(1, 2).apply_async(**options),
    ):
        with pytest.raises(error, match=text):
            send()
    if "task_id" not in options:
        with pytest.raises(error, match=text):
            add.delay_many([(1, 2)], **options)
    assert worker.waiting() == []


@pytest.mark.parametrize(("options", "error", "text"), BAD, ids=IDS)
def test_the_short_way_lets_nothing_through_that_the_long_one_refuses(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    if len(options) > 1:
        return
    ((name, value),) = options.items()
    assert name not in _PLAIN or not _PLAIN[name](value)
    with pytest.raises(error, match=text):
        checked_options(options, "add")


def test_plain_options_are_passed_on_as_they_are() -> None:
    options: dict[str, Any] = {
        "countdown": 1.5,
        "expires": datetime.now(UTC),
        "priority": 9,
        "queue": "q",
        "headers": {"tenant": "acme"},
        "time_limit": 3,
        "retry_policy": {"max_retries": 3, "interval_max": 2},
        "app_id": "shop",
        "link": [{"task": "t"}],
    }
    assert checked_options(options, "add") is options
    nothing = dict.fromkeys(CALL_OPTION_NAMES)
    assert checked_options(nothing, "add") is nothing


def test_timedeltas_become_seconds(add: Task[..., int], worker: HandWorker) -> None:
    minute = timedelta(minutes=1)
    given = {"countdown": minute, "time_limit": minute, "soft_time_limit": minute / 2, "expires": minute}
    kept = checked_options(given, "add")
    assert kept == {"countdown": 60, "time_limit": 60, "soft_time_limit": 30, "expires": 60}
    add.apply_async((1,), time_limit=minute, soft_time_limit=minute / 2)
    assert only(worker).headers["timelimit"] == [60, 30]


def test_a_task_as_link_is_told_to_be_a_signature(add: Task[..., int]) -> None:
    with pytest.raises(TypeError, match=r"<Task: add> .*such as task\.s"):
        add.apply_async((1,), link=add)  # type: ignore[arg-type]


def test_an_argument_of_the_task_is_no_message_property(app: Celeriac, worker: HandWorker) -> None:
    @app.task(name="greet")
    def greet(name: str = "", user_id: str = "") -> None: ...

    with pytest.raises(TypeError, match=r"'name' is no call option: .*kwargs=\{'name': 'Ann'\}.* of task greet"):
        greet.apply_async(name="Ann")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="user_id='7' of task greet is a message property"):
        greet.apply_async(user_id="7")
    assert worker.waiting() == []


def test_amqps_own_properties_are_call_options(add: Task[..., int], worker: HandWorker) -> None:
    properties: dict[str, Any] = {
        "message_id": "m",
        "user_id": "u",
        "app_id": "a",
        "type": "t",
        "timestamp": 1_700_000_000,
        "cluster_id": "c",
    }
    add.apply_async((1,), properties={"more": 1}, **properties)
    sent = only(worker).properties
    assert {**properties, "more": 1}.items() <= sent.items()


HEADERS = [
    *("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
    *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "stamped_headers"),
    "stamps",
]


@pytest.mark.parametrize("header", [*HEADERS, "compression"])
def test_no_header_of_the_protocol_can_be_overwritten(add: Task[..., int], worker: HandWorker, header: str) -> None:
    with pytest.raises(EncodeError, match=f"header '{header}' belongs to the protocol"):
        add.apply_async((1,), headers={header: 99})
    assert worker.waiting() == []


def test_a_reserved_header_names_the_option_to_use(add: Task[..., int]) -> None:
    with pytest.raises(EncodeError, match="use the call option retries="):
        add.apply_async((1,), headers={"retries": 99})
    with pytest.raises(EncodeError, match="use the call option time_limit="):
        add.apply_async((1,), headers={"timelimit": 3})


def test_all_headers_of_a_message_are_reserved(add: Task[..., int], worker: HandWorker) -> None:
    add.delay(1)
    assert sorted(only(worker).headers) == sorted(HEADERS)


def test_reserved_headers_of_a_received_link_do_not_fail_the_task(
    app: Celeriac, add: Task[..., int], worker: HandWorker
) -> None:
    link = {"task": "add", "args": [], "kwargs": {}, "options": {"headers": {"retries": 99, "tenant": "acme"}}}
    result = add.apply_async((1,), link=link)
    worker.run()
    assert result.get(timeout=0) == 2
    assert (only(worker).headers["retries"], only(worker).headers["tenant"]) == (0, "acme")


@pytest.mark.parametrize("calls", [3, "text", {"x": 1}])
def test_delay_many_says_what_it_takes(add: Task[..., int], calls: Any) -> None:
    with pytest.raises(TypeError, match="delay_many of task add takes many calls"):
        add.delay_many(calls)


def test_one_text_for_arguments_of_the_wrong_type(app: Celeriac, add: Task[..., int]) -> None:
    wrong: Any = "ab"
    with pytest.raises(TypeError, match="the args of task add must be a list or tuple, not 'ab' "):
        add.apply_async(wrong)
    with pytest.raises(TypeError, match="the args of task add must be a list or tuple, not 'ab' "):
        app.send_task("add", wrong)
    with pytest.raises(TypeError, match="the kwargs of task add must be a mapping, not 'ab' "):
        add.apply_async((), wrong)
    with pytest.raises(TypeError, match="the kwargs of task add must be a mapping, not 'ab' "):
        app.send_task("add", (), wrong)
