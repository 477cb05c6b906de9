"""Retries: by hand and by themselves, what they keep and change, and when they end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Celeriac, Retry, Task
from celeriac.exceptions import MaxRetriesExceededError
from celeriac.outcome import AckPolicy, Failed, Keep, Retried, Succeeded, decide
from celeriac.retries import backoff
from celeriac.testing import VirtualClock
from hand_worker import HandWorker


def last(worker: HandWorker, queue: str = "celery") -> Any:
    (delivery,) = worker.waiting(queue)
    return delivery.message


def test_retry_is_the_same_message_one_older(app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
    @app.task(name="t", bind=True)
    def task(self: Task[..., Any], x: int) -> None:
        raise self.retry(countdown=30, exc=ValueError("not yet"))

    result = task.apply_async((1,), task_id="1", headers={"tenant": "acme"}, priority=3, link=task.s())
    (outcome,) = worker.run()
    assert isinstance(outcome, Retried)
    assert outcome.not_before == clock.time() + 30
    assert outcome.error == "Retry in 30s: ValueError('not yet')"
    assert result.state == "RETRY"
    assert repr(result.result) == "ValueError('not yet')"
    assert worker.waiting() == []
    clock.advance(30)
    message = last(worker)
    assert (message.headers["id"], message.headers["retries"], message.headers["tenant"]) == ("1", 1, "acme")
    assert message.properties["priority"] == 3
    assert b'"callbacks": [{' in message.body


def test_retry_can_change_the_call(app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
    @app.task(name="t", bind=True)
    def task(self: Task[..., Any], x: int, y: int = 0) -> None:
        raise self.retry(
            (2,),
            {"y": 3},
            eta=datetime.fromtimestamp(clock.time(), UTC) + timedelta(seconds=5),
            time_limit=9,
            headers={"new": 1},
            serializer="msgpack",
            expires=60,
            retry_policy={},
        )

    task.delay(1)
    worker.run()
    clock.advance(5)
    message = last(worker)
    assert message.headers["argsrepr"] == "(2,)"
    assert message.headers["kwargsrepr"] == "{'y': 3}"
    assert message.headers["timelimit"] == [9, None]
    assert message.headers["new"] == 1
    assert message.headers["expires"] is not None
    assert message.content_type == "application/x-msgpack"


def test_a_naive_eta_of_a_retry_is_in_the_apps_timezone(app: Celeriac, worker: HandWorker) -> None:
    app.conf.timezone = "Asia/Tokyo"

    @app.task(bind=True)
    def task(self: Task[..., Any]) -> None:
        raise self.retry(eta=datetime(2030, 1, 1, 9))  # noqa: DTZ001 - the point of the test

    task.delay()
    (outcome,) = worker.run()
    assert isinstance(outcome, Retried)
    assert outcome.not_before == datetime(2030, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("options", [{"queue": "other"}, {"exchange": "", "routing_key": "other"}])
def test_retry_can_move_to_another_queue(app: Celeriac, worker: HandWorker, options: dict[str, Any]) -> None:
    @app.task(bind=True)
    def task(self: Task[..., Any]) -> None:
        raise self.retry(countdown=0, priority=4, **options)

    result = task.delay()
    worker.run()
    assert worker.waiting() == []
    (delivery,) = worker.waiting("other")
    assert (delivery.priority, delivery.message.headers["id"]) == (4, result.id)


def test_a_moved_retry_of_an_acknowledged_message_is_published(app: Celeriac, worker: HandWorker) -> None:
    app.send_task("x")
    (delivery,) = worker.waiting()
    outcome = Retried(delivery.message, 5.0, "again", queue="other")
    settlement = decide(delivery, outcome, 0.0, AckPolicy(acks_late=False))
    assert settlement.action == Keep()
    assert [(each.queue, each.not_before) for each in settlement.follow_ups] == [("other", 5.0)]


def test_retry_to_the_same_queue_and_priority_stays_where_it_is(app: Celeriac, worker: HandWorker) -> None:
    @app.task(bind=True)
    def task(self: Task[..., Any]) -> None:
        raise self.retry(countdown=0, priority=4, queue="q")

    task.apply_async(queue="q", priority=4)
    (outcome,) = worker.run("q")
    assert isinstance(outcome, Retried)
    assert (outcome.queue, outcome.priority) == (None, None)


@pytest.mark.parametrize("option", ["link", "task_id", "shadow", "chain"])
def test_what_a_retry_can_not_change_is_an_error(app: Celeriac, worker: HandWorker, option: str) -> None:
    options: dict[str, Any] = {option: None}

    @app.task(bind=True)
    def task(self: Task[..., Any]) -> None:
        raise self.retry(**options)

    result = task.delay()
    worker.run()
    assert result.failed()
    assert option in str(result.result)


def test_default_delay(app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
    @app.task(bind=True, default_retry_delay=7)
    def task(self: Task[..., Any]) -> None:
        self.retry()

    task.delay()
    (outcome,) = worker.run()
    assert isinstance(outcome, Retried)
    assert outcome.not_before == clock.time() + 7


@pytest.mark.parametrize(
    ("exc", "message"),
    [(KeyError("why"), "'why'"), (None, "Can't retry t[1] args:[5] kwargs:{}: it was retried 2 times (max_retries)")],
)
def test_when_the_retries_are_used_up(app: Celeriac, worker: HandWorker, exc: Exception | None, message: str) -> None:
    runs: list[int] = []

    @app.task(name="t", bind=True, max_retries=2)
    def task(self: Task[..., Any], x: int) -> None:
        runs.append(self.request.retries)
        raise self.retry(exc=exc, countdown=0)

    result = task.apply_async((5,), task_id="1")
    worker.run_all()
    assert runs == [0, 1, 2]
    assert type(result.result) is (MaxRetriesExceededError if exc is None else KeyError)
    assert str(result.result) == message


def test_max_retries_of_the_call_and_none_for_ever(app: Celeriac, worker: HandWorker) -> None:
    runs: list[str] = []

    @app.task(bind=True, max_retries=9)
    def once(self: Task[..., Any]) -> None:
        runs.append("once")
        raise self.retry(max_retries=1, countdown=0)

    @app.task(bind=True, max_retries=None)
    def for_ever(self: Task[..., Any]) -> None:
        runs.append("for ever")
        if self.request.retries < 20:
            raise self.retry(countdown=0)

    once.delay()
    for_ever.delay()
    worker.run_all()
    assert (runs.count("once"), runs.count("for ever")) == (2, 21)


def test_throw_false_lets_the_task_go_on(app: Celeriac, worker: HandWorker) -> None:
    went_on: list[Retry] = []

    @app.task(bind=True)
    def task(self: Task[..., Any]) -> str:
        if self.request.retries:
            return "done"
        went_on.append(self.retry(throw=False, countdown=0))
        return "this is no result"

    result = task.delay()
    outcomes = worker.run_all()
    assert [type(outcome) for outcome in outcomes] == [Retried, Succeeded]
    assert len(went_on) == 1
    assert result.get(timeout=0) == "done"


def test_retry_raised_by_hand(app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
    later = datetime.fromtimestamp(clock.time() + 9, UTC)

    @app.task(max_retries=1)
    def seconds() -> None:
        raise Retry(when=5)

    @app.task
    def moment() -> None:
        raise Retry(when=later)

    seconds.apply_async(queue="s")
    moment.apply_async(queue="m")
    (outcome,) = worker.run("s")
    assert isinstance(outcome, Retried)
    assert outcome.not_before == clock.time() + 5
    (outcome,) = worker.run("m")
    assert isinstance(outcome, Retried)
    assert outcome.not_before == later.timestamp()
    clock.advance(5)
    (outcome,) = worker.run("s")
    assert isinstance(outcome, Failed)
    assert "MaxRetriesExceededError" in outcome.error


def test_retry_raised_by_hand_without_a_time_is_due_now(app: Celeriac, worker: HandWorker) -> None:
    @app.task
    def task() -> None:
        raise Retry

    task.delay()
    (outcome,) = worker.run()
    assert isinstance(outcome, Retried)
    assert (outcome.error, outcome.not_before) == ("Retry now", None)


def test_retry_raised_by_hand_with_a_time_that_is_none_fails(app: Celeriac, worker: HandWorker) -> None:
    @app.task
    def task() -> None:
        raise Retry(when="soon")  # type: ignore[arg-type]

    result = task.delay()
    worker.run()
    assert "call option 'countdown'" in str(result.result)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"countdown": "3"}, TypeError, "'countdown' of task t is '3'"),
        ({"countdown": float("nan")}, TypeError, "seconds"),
        ({"countdown": 1e12}, ValueError, "100 years"),
        ({"eta": 3}, TypeError, "countdown="),
        ({"eta": datetime(2030, 1, 1, tzinfo=UTC), "countdown": 3}, TypeError, "one of them"),
        ({"max_retries": "3"}, TypeError, "max_retries"),
        ({"time_limit": "x"}, TypeError, "'time_limit'"),
        ({"priority": 33}, ValueError, "from 0 to 9"),
        ({"queue": 3}, TypeError, "'queue'"),
        ({"headers": 3}, TypeError, "'headers'"),
        ({"max_retrie": 3}, TypeError, "did you mean 'max_retries'"),
        ({"ignore_result": True}, TypeError, "can not change 'ignore_result'"),
        ({"retry_policy": 3}, TypeError, "'retry_policy'"),
    ],
)
def test_arguments_of_retry_are_checked_like_call_options(
    app: Celeriac, worker: HandWorker, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    @app.task(name="t", bind=True)
    def task(self: Task[..., Any]) -> None:
        self.retry(**arguments)

    result = task.delay()
    (outcome,) = worker.run()
    assert isinstance(outcome, Failed)
    assert type(result.result) is error
    assert text in str(result.result)


def test_a_timedelta_is_a_countdown_of_a_retry(app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
    @app.task(bind=True)
    def task(self: Task[..., Any]) -> None:
        raise self.retry(countdown=timedelta(minutes=1), time_limit=timedelta(minutes=2))  # type: ignore[arg-type]

    task.delay()
    (outcome,) = worker.run()
    assert isinstance(outcome, Retried)
    assert (outcome.not_before, outcome.error) == (clock.time() + 60, "Retry in 60.0s")
    clock.advance(60)
    assert last(worker).headers["timelimit"] == [120, None]


def test_an_eta_in_retry_kwargs_goes_before_backoff(app: Celeriac, worker: HandWorker) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)

    @app.task(autoretry_for=ValueError, retry_backoff=True, retry_kwargs={"eta": moment})
    def task() -> None:
        raise ValueError

    task.delay()
    (outcome,) = worker.run()
    assert isinstance(outcome, Retried)
    assert outcome.not_before == moment.timestamp()


def test_called_as_a_function_the_error_comes_out(app: Celeriac) -> None:
    @app.task(bind=True, autoretry_for=(KeyError,))
    def task(self: Task[..., Any], exc: Exception | None) -> None:
        if isinstance(exc, KeyError):
            raise exc
        raise self.retry(exc=exc)

    with pytest.raises(ValueError, match="boom"):
        task(ValueError("boom"))
    with pytest.raises(KeyError):
        task(KeyError("k"))
    with pytest.raises(Retry, match="called as a function"):
        task(None)


def test_new_arguments_that_can_not_be_encoded_fail_the_task(app: Celeriac, worker: HandWorker) -> None:
    @app.task(bind=True)
    def task(self: Task[..., Any], x: Any) -> None:
        raise self.retry((object(),))

    result = task.delay(1)
    worker.run()
    assert result.failed()
    assert "args[0]" in str(result.result)


# -- by themselves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "retried"),
    [(OSError, True), (ConnectionError, True), (TimeoutError, False), (ValueError, False)],
)
def test_autoretry_for(app: Celeriac, worker: HandWorker, error: type[Exception], retried: bool) -> None:
    @app.task(autoretry_for=(OSError,), dont_autoretry_for=(TimeoutError,), default_retry_delay=1)
    def task() -> None:
        raise error("boom")

    @app.task(autoretry_for=(OSError,), dont_autoretry_for=(TimeoutError,), default_retry_delay=1)
    async def coroutine() -> None:
        await asyncio.sleep(0)
        raise error("boom")

    task.delay()
    coroutine.delay()
    outcomes = worker.run()
    assert [type(outcome) for outcome in outcomes] == [Retried if retried else Failed] * 2


def test_autoretry_keeps_its_hands_off_what_steers(app: Celeriac, worker: HandWorker) -> None:
    @app.task(bind=True, autoretry_for=(Exception,))
    def task(self: Task[..., Any]) -> None:
        raise self.retry(countdown=42)

    task.delay()
    (outcome,) = worker.run()
    assert isinstance(outcome, Retried)
    assert outcome.error == "Retry in 42s"


def test_retry_kwargs(app: Celeriac, worker: HandWorker) -> None:
    runs: list[int] = []

    @app.task(autoretry_for=(ValueError,), retry_kwargs={"max_retries": 1, "countdown": 0})
    def task() -> None:
        runs.append(1)
        raise ValueError("in the end")

    result = task.delay()
    worker.run_all()
    assert len(runs) == 2
    assert repr(result.result) == "ValueError('in the end')"


def test_retry_backoff(app: Celeriac, worker: HandWorker, clock: VirtualClock) -> None:
    waits: list[float] = []

    @app.task(autoretry_for=(ValueError,), retry_backoff=2, retry_backoff_max=7, retry_jitter=False)
    def task() -> None:
        raise ValueError

    task.delay()
    for _ in range(3):
        (outcome,) = worker.run()
        assert isinstance(outcome, Retried)
        assert outcome.not_before is not None
        waits.append(outcome.not_before - clock.time())
        clock.set_wall(outcome.not_before)
    assert waits == pytest.approx([2, 4, 7])


def test_jitter_spreads_over_the_whole_wait() -> None:
    waits = [backoff(1, 3, 600, jitter=True) for _ in range(1000)]
    assert all(0 <= wait <= 8 for wait in waits)
    assert min(waits) < 2
    assert max(waits) > 6
    assert backoff(1, 10_000, 600, jitter=False) == 600
