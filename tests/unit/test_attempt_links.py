"""What a run causes: links and errbacks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from celeriac import Celeriac, Signature, Task, states
from celeriac.attempt import Attempt, Job, failure_of
from celeriac.consequences import NOTHING, Consequences
from celeriac.exceptions import (
    ContentDisallowed,
    EncodeError,
    MaxRetriesExceededError,
    TimeLimitExceeded,
)
from celeriac.message import Message
from celeriac.outcome import (
    Failed,
    Succeeded,
)
from hand_worker import SITE, HandWorker, make_message, run, stored


def test_links_get_the_result(app: Celeriac, worker: HandWorker) -> None:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    outcome = run(
        app,
        add,
        2,
        3,
        task_id="1",
        root_id="0",
        link=[add.s(10).set(task_id="2", queue="q", priority=3), add.si(1, 1)],
    )
    assert isinstance(outcome, Succeeded)
    first, second = outcome.follow_ups
    assert (first.queue, first.priority, first.message.headers["id"]) == ("q", 3, "2")
    assert first.message.body.startswith(b"[[5, 10], {}")
    assert second.message.body.startswith(b"[[1, 1], {}")
    assert first.message.headers["parent_id"] == "1"
    assert first.message.headers["root_id"] == "0"
    assert [child[0][0] for child in stored(outcome)["children"]] == ["2", second.message.headers["id"]]
    assert worker.waiting() == []  # the worker sends them with the acknowledgement


def test_a_link_that_does_not_fit_fails_itself_not_the_task(app: Celeriac) -> None:
    @app.task
    def one() -> int:
        return 1

    assert isinstance(run(app, one, link=one.s()), Succeeded)


def test_a_link_to_a_task_that_is_not_known_here_is_sent(app: Celeriac) -> None:
    @app.task
    def one() -> int:
        return 1

    outcome = run(app, one, link=app.signature("elsewhere.log"))
    assert isinstance(outcome, Succeeded)
    assert outcome.follow_ups[0].message.headers["task"] == "elsewhere.log"


def errbacks_of_each_kind(app: Celeriac, called: list[Any]) -> list[Signature[Any]]:
    """Errbacks that note how they are called."""

    @app.task(name="old")
    def old(task_id: str) -> None: ...

    @app.task(name="new")
    def new(request: Any, exc: BaseException, traceback: str) -> None:
        called.append((request.id, repr(exc), traceback.endswith("boom\n")))

    @app.task(name="any")
    def any_(*args: Any) -> None:
        called.append(len(args))

    @app.task(name="coroutine")
    async def coroutine(request: Any, exc: BaseException, traceback: str) -> None:
        await asyncio.sleep(0)
        called.append("awaited")

    @app.task(name="broken")
    def broken(request: Any, exc: BaseException, traceback: str) -> None:
        raise RuntimeError("errback's own")

    return [*(each.s() for each in (broken, old, new, any_, coroutine)), app.signature("unknown", (1,))]


def test_errbacks_by_celerys_rule(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    called: list[Any] = []
    errbacks = errbacks_of_each_kind(app, called)

    @app.task
    def failing() -> None:
        raise ValueError("boom")

    @app.task
    async def afailing() -> None:
        raise ValueError("boom")

    for task in (failing, afailing):
        called.clear()
        outcome = run(app, task, task_id="1", link_error=errbacks)
        assert isinstance(outcome, Failed)
        assert [p.message.headers["task"] for p in outcome.follow_ups] == ["old", "unknown"]
        assert outcome.follow_ups[0].message.body.startswith(b'[["1"], {}')
        assert outcome.follow_ups[1].message.body.startswith(b'[["1", 1], {}')
        assert called == [("1", "ValueError('boom')", True), 3, "awaited"]
    assert "Errback broken" in caplog.text


def test_errbacks_of_a_run_that_can_not_speak_for_itself(app: Celeriac) -> None:
    called: list[Any] = []

    @app.task(name="old")
    def old(task_id: str) -> None: ...

    @app.task(name="new")
    def new(request: Any, exc: BaseException, traceback: str) -> None:
        called.append((request.id, repr(exc)))

    @app.task
    def task() -> None: ...

    message = make_message(app, task, task_id="1", root_id="0", link_error=[old.s(), new.s()])

    def failed(message: Message) -> Consequences:
        return failure_of(app, message, TimeLimitExceeded(3), states.FAILURE, "celery", calls_errbacks=True)

    by_id, with_exception = failed(message).publications
    assert by_id.message.headers["task"] == "old"
    assert by_id.message.headers["parent_id"] == "1"
    assert by_id.message.headers["root_id"] == "0"
    outcome = Attempt(app, Job(1, with_exception.message, "celery"), SITE).run()
    assert isinstance(outcome, Succeeded)
    assert called == [("1", repr(TimeLimitExceeded(3)))]
    assert failed(make_message(app, task)) == NOTHING
    with pytest.raises(ContentDisallowed):
        failed(Message({"task": "t", "id": "1"}, {}, b"", "x/y"))


def test_what_can_not_be_encoded_is_a_failure_with_its_errbacks(app: Celeriac) -> None:
    @app.task(name="old")
    def old(task_id: str) -> None: ...

    @app.task
    def task() -> object:
        return object()

    outcome = run(app, task, link_error=old.s())
    assert isinstance(outcome, Failed)
    assert isinstance(stored(outcome)["result"], EncodeError)
    assert len(outcome.follow_ups) == 1


def test_max_retries_exceeded_survives_as_itself(app: Celeriac) -> None:
    @app.task(bind=True, max_retries=0)
    def task(self: Task[..., Any]) -> None:
        self.retry()

    assert isinstance(stored(run(app, task))["result"], MaxRetriesExceededError)
