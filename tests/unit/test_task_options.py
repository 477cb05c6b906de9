"""Options of tasks: which there are, which values they may have, wherever they are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Celeriac, Task, shared_task
from celeriac.exceptions import EncodeError
from celeriac.serialization import register
from celeriac.serialization.json import decode_json, encode_json
from celeriac.task_options import HANDLERS, TASK_OPTION_NAMES
from hand_worker import HandWorker


def plain(x: int = 0, y: int = 1) -> int:
    return x + y


#: A value that each option can have; what it is kept as, if that is something else.
GOOD: dict[str, Any] = {
    "name": "named",
    "typing": False,
    "filter": lambda function: function,
    "lazy": True,
    "shared": False,
    "executor": "thread",
    "max_retries": 0,
    "default_retry_delay": 0.5,
    "rate_limit": "10/m",
    "time_limit": 5,
    "soft_time_limit": 2.5,
    "ignore_result": True,
    "store_errors_even_if_ignored": True,
    "store_eager_result": True,
    "trail": False,
    "send_events": False,
    "serializer": "yaml",
    "compression": "gzip",
    "track_started": True,
    "acks_late": False,
    "acks_on_failure_or_timeout": False,
    "acks_on_failure": False,
    "acks_on_timeout": None,
    "reject_on_worker_lost": False,
    "retry_on_worker_lost": True,
    "throws": (KeyError,),
    "expires": 60,
    "priority": 9,
    "resultrepr_maxsize": 100,
    "queue": "q",
    "exchange": "",
    "routing_key": "q",
    "delivery_mode": 1,
    "autoretry_for": (OSError, KeyError),
    "dont_autoretry_for": (TimeoutError,),
    "retry_kwargs": {"max_retries": 3, "countdown": 1, "queue": "other"},
    "retry_backoff": 2.5,
    "retry_backoff_max": 100,
    "retry_jitter": False,
    "pydantic": True,
    "pydantic_strict": True,
    "pydantic_context": {"a": 1},
    "pydantic_dump_kwargs": {"exclude_none": True},
}
#: Used up by the declaration.
NO_ATTRIBUTES = {"name", "filter", "lazy", "shared"}


def test_every_option_can_be_given_and_is_an_attribute(app: Celeriac) -> None:
    assert GOOD.keys() == TASK_OPTION_NAMES - set(HANDLERS)
    for option, value in GOOD.items():
        options: dict[str, Any] = {"name": f"with {option}", option: value}
        task = app.task(**options)(plain)
        if option not in NO_ATTRIBUTES:
            assert getattr(task, option) == value, option
            assert hasattr(Task, option), option


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"time_limit": "5"}, TypeError, r"'time_limit' of task t is '5' \(str\): expected a number of seconds or a timed"),
    ({"time_limit": 0}, ValueError, r"is 0 \(int\): expected .* above 0, or None"),
    ({"time_limit": -1}, ValueError, "above 0"),
    ({"time_limit": True}, TypeError, "seconds"),
    ({"time_limit": timedelta(0)}, ValueError, "above 0"),
    ({"time_limit": float("nan")}, TypeError, "seconds"),
    ({"time_limit": float("inf")}, ValueError, "above 0"),
    ({"soft_time_limit": "5"}, TypeError, "timedelta"),
    ({"soft_time_limit": -0.5}, ValueError, "above 0"),
    ({"max_retries": "3"}, TypeError, "whole number"),
    ({"max_retries": -1}, ValueError, "at least 0"),
    ({"default_retry_delay": "3"}, TypeError, "seconds"),
    ({"default_retry_delay": 1e12}, ValueError, "100 years"),
    ({"autoretry_for": "ValueError"}, TypeError, "an exception class, or a tuple"),
    ({"autoretry_for": ValueError("instance")}, TypeError, "an exception class, or a tuple"),
    ({"autoretry_for": (int,)}, TypeError, "an exception class, or a tuple"),
    ({"throws": int}, TypeError, "an exception class, or a tuple"),
    ({"dont_autoretry_for": 3}, TypeError, "an exception class, or a tuple"),
    ({"retry_backoff": "x"}, TypeError, "True, False, or a number of seconds"),
    ({"retry_backoff": -1}, ValueError, "at least 0"),
    ({"retry_backoff_max": "x"}, TypeError, "seconds"),
    ({"priority": 33}, ValueError, "from 0 to 9"),
    ({"priority": "high"}, TypeError, "from 0 to 9"),
    ({"queue": 3}, TypeError, "name of a queue"),
    ({"queue": ""}, ValueError, "a name"),
    ({"expires": "x"}, ValueError, "ISO"),
    ({"expires": []}, TypeError, "a timedelta, a datetime"),
    ({"acks_late": "no"}, TypeError, "True or False"),
    ({"ignore_result": 1}, TypeError, "True or False"),
    ({"retry_kwargs": {"max_retrie": 3}}, TypeError, "did you mean 'max_retries'"),
    ({"retry_kwargs": {"max_retries": "3"}}, TypeError, "expected for 'max_retries' a whole number"),
    ({"retry_kwargs": {"countdown": "3"}}, TypeError, "seconds"),
    ({"retry_kwargs": {"shadow": "x"}}, TypeError, "'shadow' is none of its options"),
    ({"retry_kwargs": {"priority": 33}}, ValueError, "from 0 to 9"),
    ({"retry_kwargs": 3}, TypeError, "a dictionary"),
    ({"serializer": 3}, TypeError, "text"),
    ({"rate_limit": "often"}, ValueError, "10/s"),
    ({"delivery_mode": 3}, TypeError, "one of 1, 2"),
    ({"executor": 3}, ValueError, "'thread'"),
    ({"resultrepr_maxsize": 0}, ValueError, "at least 1"),
    ({"on_success": "function"}, TypeError, "a function"),
]


@pytest.mark.parametrize(("options", "error", "text"), BAD, ids=[repr(case[0]) for case in BAD])
def test_values_that_can_not_be_are_refused_where_the_task_is_declared(
    app: Celeriac, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        app.task(name="t", **options)(plain)
    with pytest.raises(error, match=text):
        shared_task(name="t", **options)(plain)
    assert "t" not in app.tasks


@pytest.mark.parametrize(("options", "error", "text"), BAD, ids=[repr(case[0]) for case in BAD])
def test_task_annotations_are_checked_like_options(
    app: Celeriac, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    app.task(name="t")(plain)
    app.conf.task_annotations = {"t": options}
    with pytest.raises(error, match=text):
        app.finalize()


OF_CLASSES = [case for case in BAD if case[0].keys().isdisjoint({"on_success"})]


@pytest.mark.parametrize(("options", "error", "text"), OF_CLASSES, ids=[repr(case[0]) for case in OF_CLASSES])
def test_class_attributes_are_checked_like_options(
    app: Celeriac, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    class Base(Task[..., Any]):
        name = "t"

        def run(self) -> None: ...

    misfit = type("Misfit", (Base,), options)
    with pytest.raises(error, match=text):
        app.register_task(misfit())
    with pytest.raises(error, match=text):
        app.task(name="t", base=misfit)(plain)
    assert "t" not in app.tasks


@pytest.mark.parametrize(
    ("option", "given", "kept"),
    [
        ("time_limit", timedelta(minutes=1), 60),
        ("soft_time_limit", timedelta(seconds=1.5), 1.5),
        ("default_retry_delay", timedelta(minutes=3), 180),
        ("retry_backoff_max", timedelta(hours=1), 3600),
        ("expires", timedelta(hours=1), 3600),
        ("expires", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),
        ("expires", datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)),
        ("autoretry_for", ValueError, (ValueError,)),
        ("autoretry_for", [ValueError, KeyError], (ValueError, KeyError)),
        ("dont_autoretry_for", KeyError, (KeyError,)),
        ("throws", KeyError, (KeyError,)),
        ("delivery_mode", "transient", 1),
        ("retry_kwargs", {"countdown": timedelta(seconds=3)}, {"countdown": 3}),
    ],
)
def test_other_ways_to_say_it_are_converted(app: Celeriac, option: str, given: Any, kept: Any) -> None:
    assert getattr(app.task(name="option", **{option: given})(plain), option) == kept
    of_class = type("OfClass", (Task,), {"run": plain, option: given})
    assert getattr(app.register_task(of_class()), option) == kept
    app.task(name="annotated")(plain)
    app.conf.task_annotations = {"annotated": {option: given}}
    assert getattr(app.tasks["annotated"], option) == kept


def test_a_single_class_in_autoretry_for_is_retried(app: Celeriac, worker: HandWorker) -> None:
    runs: list[int] = []

    @app.task(autoretry_for=ValueError, max_retries=1, default_retry_delay=timedelta(0))
    def task() -> None:
        runs.append(1)
        raise ValueError

    task.delay()
    worker.run_all()
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("option", "wrong", "text"),
    [("serializer", "jsn", "did you mean 'json'"), ("compression", "gzp", "did you mean 'gzip'")],
)
def test_an_unknown_codec_is_named_with_the_nearest_one_at_the_first_use(
    app: Celeriac, option: str, wrong: str, text: str
) -> None:
    task = app.task(name="t", **{option: wrong})(plain)  # type: ignore[call-overload]
    with pytest.raises(EncodeError, match=text):
        task.delay()


def test_a_serializer_that_is_registered_after_the_task_is_found(app: Celeriac, worker: HandWorker) -> None:
    task = app.task(name="t", serializer="late")(plain)
    register("late", encode_json, decode_json, "application/x-late")
    task.delay()
    (delivery,) = worker.waiting()
    assert delivery.message.content_type == "application/x-late"


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "near"),
    [("timeout", None), ("foo", None), ("max_retry", "max_retries"), ("prioritiy", "priority"), ("delay", None)],
)
def test_an_unknown_option_is_no_attribute_but_an_error(app: Celeriac, option: str, near: str | None) -> None:
    with pytest.raises(TypeError, match=f"unknown option '{option}' of task t: .*base=") as caught:
        app.task(name="t", **{option: 3})(plain)  # type: ignore[call-overload]
    assert ("did you mean" in str(caught.value)) == (near is not None)
    assert near is None or repr(near) in str(caught.value)
    app.task(name="t")(plain)
    app.conf.task_annotations = {"*": {option: 3}}
    with pytest.raises(TypeError, match=option):
        app.finalize()


def test_attributes_of_the_base_class_can_be_given_as_options(app: Celeriac) -> None:
    class Base(Task[..., Any]):
        tenant = "nobody"
        connection: Any

    task = app.task(name="t", base=Base, tenant="acme", connection=3)(plain)  # type: ignore[call-overload]
    assert (task.tenant, task.connection) == ("acme", 3)


def test_options_that_a_class_computes_are_left_alone(app: Celeriac) -> None:
    class Base(Task[..., Any]):
        @property
        def queue(self) -> str:  # type: ignore[override]
            return "computed"

    assert app.task(name="t", base=Base)(plain).queue == "computed"


def test_what_init_sets_is_checked_and_kept_for_each_task(app: Celeriac) -> None:
    class Base(Task[..., Any]):
        def __init__(self) -> None:
            self.time_limit = timedelta(minutes=2)  # type: ignore[assignment]

    assert app.task(name="t", base=Base)(plain).time_limit == 120
    assert app.task(name="u", base=Base, time_limit=3)(plain).time_limit == 3
