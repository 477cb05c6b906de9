"""Handlers, signals and log lines of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from celeriac import Celeriac, Ignore, Reject, Task, signals
from celeriac.exceptions import EncodeError
from celeriac.outcome import (
    Failed,
)
from hand_worker import run, stored


class Chatty(Task[..., Any]):
    """Notes what it is told."""

    heard: list[Any]

    def before_start(self, *args: Any) -> None:
        self.heard = [("before_start", *args)]

    def on_success(self, *args: Any) -> None:
        self.heard.append(("on_success", *args))

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.heard.append(("on_failure", repr(exc), task_id, args, kwargs, einfo.traceback[:9]))

    def on_retry(self, exc: BaseException | None, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.heard.append(("on_retry", repr(exc), task_id, einfo.type.__name__))

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.heard.append(("after_return", status, str(retval), task_id, einfo is not None))


def test_handlers(app: Celeriac) -> None:
    @app.task(base=Chatty, bind=True)
    def task(self: Chatty, what: str) -> str:
        match what:
            case "fail":
                raise ValueError("boom")
            case "retry":
                raise self.retry(exc=KeyError("k"))
            case "ignore":
                raise Ignore
        return what

    def heard(what: str) -> list[Any]:
        run(app, task, what, task_id="1")
        notes: list[Any] = task.heard  # type: ignore[attr-defined]
        return notes

    before = ("before_start", "1")
    assert heard("good") == [
        (*before, ["good"], {}),
        ("on_success", "good", "1", ["good"], {}),
        ("after_return", "SUCCESS", "good", "1", False),
    ]
    assert heard("fail") == [
        (*before, ["fail"], {}),
        ("on_failure", "ValueError('boom')", "1", ["fail"], {}, "Traceback"),
        ("after_return", "FAILURE", "boom", "1", True),
    ]
    assert heard("retry") == [(*before, ["retry"], {}), ("on_retry", "KeyError('k')", "1", "Retry")]
    assert heard("ignore") == [(*before, ["ignore"], {})]


def test_handlers_can_be_options(app: Celeriac) -> None:
    heard: list[Any] = []

    def note(self: Task[..., Any], retval: Any, *_: Any) -> None:
        heard.append((self, retval))

    @app.task(on_success=note)
    def task() -> int:
        return 5

    run(app, task)
    assert heard == [(task, 5)]


@pytest.mark.parametrize("handler", ["on_success", "on_failure", "on_retry", "after_return"])
def test_a_handler_that_raises_changes_nothing(app: Celeriac, caplog: pytest.LogCaptureFixture, handler: str) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the handler's own")

    @app.task(bind=True)
    def task(self: Task[..., Any], what: str) -> str:
        if what == "fail":
            raise ValueError("boom")
        if what == "retry":
            raise self.retry()
        return what

    setattr(task, handler, broken)

    what = {"on_failure": "fail", "on_retry": "retry"}.get(handler, "good")
    expected = {"fail": "Failed", "retry": "Retried", "good": "Succeeded"}[what]
    assert type(run(app, task, what)).__name__ == expected
    assert f"{handler} raised RuntimeError" in caplog.text


def test_what_before_start_raises_is_the_tasks(app: Celeriac) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("not today")

    @app.task(before_start=broken)
    def task() -> None: ...

    outcome = run(app, task)
    assert isinstance(outcome, Failed)
    assert outcome.error == "ValueError('not today')"


@contextmanager
def hearing(sender: Task[..., Any], *names: str) -> Iterator[list[Any]]:
    """What these signals say of a task meanwhile."""
    heard: list[Any] = []

    def listener(name: str) -> Callable[..., None]:
        def hear(signal: Any, sender: Any, **arguments: Any) -> None:
            heard.append((name, sender, arguments))

        return hear

    listeners = [(getattr(signals, name), listener(name)) for name in names]
    for signal, receiver in listeners:
        signal.connect(receiver, sender=sender)
    try:
        yield heard
    finally:
        for signal, receiver in listeners:
            signal.disconnect(receiver, sender=sender)


def test_signals_of_a_run(app: Celeriac) -> None:
    @app.task(bind=True)
    def task(self: Task[..., Any], what: str) -> str:
        if what == "fail":
            raise ValueError("boom")
        if what == "retry":
            raise self.retry(countdown=3)
        return what

    with hearing(task, "task_prerun", "task_postrun", "task_success", "task_failure", "task_retry") as heard:
        run(app, task, "good", task_id="1")
        run(app, task, "fail", task_id="2")
        run(app, task, "retry", task_id="3")
    assert [name for name, _, _ in heard] == [
        *("task_prerun", "task_success", "task_postrun"),
        *("task_prerun", "task_failure", "task_postrun"),
        *("task_prerun", "task_retry", "task_postrun"),
    ]
    assert all(sender is task for _, sender, _ in heard)
    assert heard[0][2] == {"task_id": "1", "task": task, "args": ["good"], "kwargs": {}}
    assert heard[1][2].keys() == {"result", "runtime"}
    assert heard[2][2]["state"] == "SUCCESS"
    assert heard[2][2]["retval"] == "good"
    assert heard[4][2].keys() == {"task_id", "exception", "args", "kwargs", "traceback", "einfo"}
    assert heard[5][2]["state"] == "FAILURE"
    assert heard[7][2].keys() == {"request", "reason", "einfo"}
    assert heard[7][2]["request"].id == "3"
    assert heard[8][2]["state"] == "RETRY"


def test_log_lines(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="t", bind=True, throws=(KeyError,))
    def task(self: Task[..., Any], what: str) -> str:
        match what:
            case "unexpected":
                raise ValueError("boom")
            case "expected":
                raise KeyError("known")
            case "retry":
                raise self.retry(exc=ValueError("x"), countdown=3)
            case "ignore":
                raise Ignore
            case "reject":
                raise Reject("no", requeue=False)
        return what

    def line(what: str, **options: Any) -> tuple[str, int, bool]:
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="celeriac.task"):
            run(app, task, what, task_id="1", **options)
        (record,) = caplog.records
        return record.getMessage(), record.levelno, record.exc_info is not None

    text, level, _ = line("good")
    assert text.startswith("Task t[1] succeeded in ")
    assert text.endswith("s: 'good'")
    assert level == logging.INFO
    assert line("good", shadow="shown")[0].startswith("Task shown[1] succeeded")
    assert line("unexpected") == ("Task t[1] raised unexpected: ValueError('boom')", logging.ERROR, True)
    assert line("expected") == ("Task t[1] raised expected: KeyError('known')", logging.INFO, False)
    assert line("retry") == ("Task t[1] retry: Retry in 3s: ValueError('x')", logging.INFO, False)
    assert line("ignore") == ("Task t[1] ignored", logging.INFO, False)
    assert line("reject") == ("Task t[1] rejected (requeue=False): no", logging.WARNING, False)


def test_an_error_inside_still_has_an_outcome(
    app: Celeriac, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(name="t")
    def task() -> None:
        raise ValueError("boom")

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("disk full")

    heard: list[Any] = []

    def hear(exception: Exception, **_: Any) -> None:
        heard.append(exception)

    signals.task_internal_error.connect(hear)
    monkeypatch.setattr("celeriac.conclusion.result_record", broken)
    outcome = run(app, task)
    signals.task_internal_error.disconnect(hear)
    assert isinstance(outcome, Failed)
    assert outcome.error == "RuntimeError('disk full')"
    assert stored(outcome)["status"] == "FAILURE"
    assert "could not be concluded" in caplog.text
    assert [repr(error) for error in heard] == ["RuntimeError('disk full')"]


def test_an_outcome_even_when_nothing_can_be_stored(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    @app.task
    def task() -> None: ...

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no serializer")

    monkeypatch.setattr("celeriac.conclusion.result_record", broken)
    monkeypatch.setattr("celeriac.conclusion.failure_record", broken)
    outcome = run(app, task)
    assert isinstance(outcome, Failed)
    assert outcome.result is None


def test_a_result_that_can_not_be_encoded_was_four_tracebacks_of_ours(
    app: Celeriac, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(name="t")
    def task() -> Any:
        return {"open": {1}}

    outcome = run(app, task, task_id="1")
    (record,) = caplog.records
    assert "result['open'] is a set" in record.getMessage()
    assert record.exc_info is None
    error = stored(outcome)["result"]
    assert type(error) is EncodeError
    assert stored(outcome)["traceback"].count("EncodeError") == 1


def test_a_rejection_without_a_reason(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="t")
    def task() -> None:
        raise Reject(requeue=True)

    run(app, task, task_id="1")
    assert caplog.messages == ["Task t[1] rejected (requeue=True): no reason given"]
