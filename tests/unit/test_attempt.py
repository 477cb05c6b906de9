"""One run of a message: its outcome, its result, its request, its handlers, signals and log lines."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac, Ignore, Reject, Retry, Task, get_current_task, signals
from celeriac.attempt import Attempt, Job, Site, errback_publications
from celeriac.exceptions import (
    ContentDisallowed,
    EncodeError,
    MaxRetriesExceededError,
    NotRegistered,
    SoftTimeLimitExceeded,
    TimeLimitExceeded,
)
from celeriac.message import Message
from celeriac.outcome import (
    Failed,
    Ignored,
    Outcome,
    Rejected,
    ResultRecord,
    Retried,
    Succeeded,
    TimedOut,
    Unrunnable,
)
from celeriac.publications import Call, make_publication
from celeriac.result_meta import decode_meta
from hand_worker import HandWorker

SITE = Site(hostname="w1@host", pid=4711)


def make_message(app: Celeriac, task: Task[..., Any] | str, *args: Any, **options: Any) -> Message:
    call = (
        Call(task, args, {}, options)
        if isinstance(task, str)
        else Call(task.name, args, {}, options, task, checked=True)
    )
    return make_publication(app, call).message


def attempt_of(app: Celeriac, task: Task[..., Any] | str, *args: Any, **options: Any) -> Attempt:
    return Attempt(app, Job(1, make_message(app, task, *args, **options), "celery"), SITE)


def run(app: Celeriac, task: Task[..., Any] | str, *args: Any, **options: Any) -> Outcome:
    """Both ways must come to the same."""
    attempt = attempt_of(app, task, *args, **options)
    return asyncio.run(attempt.arun()) if attempt.is_coroutine else attempt.run()


def stored(outcome: Outcome) -> dict[str, Any]:
    record = outcome.result  # type: ignore[union-attr]
    assert isinstance(record, ResultRecord)
    meta = decode_meta(record.meta, accept=["json"])
    assert meta["status"] == record.status
    return meta


def raise_(exc: BaseException) -> None:
    raise exc


# -- outcomes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function", "coroutine", "coroutine in a thread"])
@pytest.mark.parametrize(
    ("make", "outcome", "status", "text"),
    [
        (lambda: 5, Succeeded, "SUCCESS", None),
        (lambda: raise_(ValueError("boom")), Failed, "FAILURE", "ValueError('boom')"),
        (lambda: raise_(SystemExit(3)), Failed, "FAILURE", "SystemExit(3)"),
        (lambda: raise_(KeyboardInterrupt()), Failed, "FAILURE", "KeyboardInterrupt()"),
        (lambda: raise_(asyncio.CancelledError()), Failed, "FAILURE", "CancelledError()"),
        (lambda: raise_(SoftTimeLimitExceeded(5)), Failed, "FAILURE", "SoftTimeLimitExceeded(5)"),
        (lambda: raise_(TimeLimitExceeded(5)), TimedOut, "FAILURE", "TimeLimitExceeded(5)"),
        (lambda: raise_(Ignore()), Ignored, None, None),
        (lambda: raise_(Reject("broken")), Rejected, "FAILURE", "broken"),
        (lambda: raise_(Reject("later", requeue=True)), Rejected, None, "later"),
        (lambda: raise_(Retry("again", when=3)), Retried, "RETRY", "again"),
        (object, Failed, "FAILURE", "EncodeError"),
    ],
)
def test_every_way_to_end(
    app: Celeriac, kind: str, make: Callable[[], Any], outcome: type, status: str | None, text: str | None
) -> None:
    @app.task
    def function() -> Any:
        return make()

    @app.task
    async def coroutine() -> Any:
        await asyncio.sleep(0)
        return make()

    if kind == "function":
        came = run(app, function)
    elif kind == "coroutine":
        came = run(app, coroutine)
    else:
        came = attempt_of(app, coroutine).run()
    assert type(came) is outcome
    if status is None:
        assert getattr(came, "result", None) is None
    else:
        assert stored(came)["status"] == status
    if text is not None:
        assert text in str(getattr(came, "error", None) or getattr(came, "reason", ""))


def test_a_cancelled_run_has_no_outcome(app: Celeriac) -> None:
    started = asyncio.Event()

    @app.task
    async def sleeper() -> None:
        started.set()
        await asyncio.Event().wait()

    async def main() -> None:
        running = asyncio.create_task(attempt_of(app, sleeper).arun())
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())


def test_success_as_it_is_stored(app: Celeriac) -> None:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    outcome = run(app, add, 2, 3, task_id="1", parent_id="0", group_id="g")
    assert isinstance(outcome, Succeeded)
    assert outcome.runtime >= 0
    assert outcome.result is not None
    assert outcome.result.ttl == 86400
    assert outcome.result.meta == (
        b'{"status": "SUCCESS", "result": 5, "traceback": null, "children": [], '
        b'"date_done": "2023-11-14T22:13:20+00:00", "group_id": "g", "parent_id": "0", "task_id": "1"}'
    )


def test_result_extended(app: Celeriac) -> None:
    app.conf.result_extended = True

    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    meta = stored(run(app, add, 2, 3, retries=1))
    assert {name: meta[name] for name in ("name", "args", "kwargs", "worker", "retries", "queue")} == {
        "name": "add",
        "args": [2, 3],
        "kwargs": {},
        "worker": "w1@host",
        "retries": 1,
        "queue": "celery",
    }


@pytest.mark.parametrize(("expires", "ttl"), [(None, None), (0, None), (60, 60.0), ("timedelta", 120.0)])
def test_result_expires(app: Celeriac, expires: Any, ttl: float | None) -> None:
    from datetime import timedelta

    app.conf["result_expires"] = timedelta(minutes=2) if expires == "timedelta" else expires
    app.conf.result_failure_expires = 7

    @app.task
    def task(fail: bool) -> None:
        if fail:
            raise ValueError

    good, bad = run(app, task, False), run(app, task, True)
    assert isinstance(good, Succeeded)
    assert isinstance(bad, Failed)
    assert good.result is not None
    assert bad.result is not None
    assert (good.result.ttl, bad.result.ttl) == (ttl, 7.0)


@pytest.mark.parametrize(
    ("header", "attribute", "errors", "kept", "kept_error"),
    [
        (None, False, False, True, True),
        (None, True, False, False, False),
        (None, True, True, False, True),
        (True, False, False, False, False),
        (False, True, False, True, True),
    ],
)
def test_ignored_results(
    app: Celeriac, header: bool | None, attribute: bool, errors: bool, kept: bool, kept_error: bool
) -> None:
    @app.task(ignore_result=attribute, store_errors_even_if_ignored=errors)
    def task(fail: bool) -> None:
        if fail:
            raise ValueError

    good = run(app, task, False, ignore_result=header)
    bad = run(app, task, True, ignore_result=header)
    assert isinstance(good, Succeeded)
    assert isinstance(bad, Failed)
    assert (good.result is not None, bad.result is not None) == (kept, kept_error)


def test_without_a_backend_nothing_is_encoded() -> None:
    with Celeriac("t", broker="memory://no-results", backend="disabled://") as app:

        @app.task
        def task() -> object:
            return object()

        outcome = run(app, task)
        assert isinstance(outcome, Succeeded)
        assert outcome.result is None


def test_a_failures_traceback_begins_in_the_task(app: Celeriac) -> None:
    @app.task
    def task() -> None:
        raise_(ValueError("boom"))

    traceback = stored(run(app, task))["traceback"]
    assert traceback.count('File "') == 2
    assert "test_attempt.py" in traceback
    assert traceback.endswith("ValueError: boom\n")


def test_wrong_arguments_are_the_tasks_failure(app: Celeriac) -> None:
    @app.task
    def task(x: int) -> None: ...

    meta = stored(run(app, task))
    assert "missing 1 required positional argument: 'x'" in str(meta["result"])
    assert "attempt.py" in meta["traceback"]


def test_a_failed_run_leaves_no_cycle(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("celeriac.task"), "disabled", True)  # pytest keeps log records

    class Big:
        pass

    alive: list[weakref.ref[Big]] = []

    @app.task(autoretry_for=(KeyError,))
    def task(error: str) -> None:
        big = Big()
        alive.append(weakref.ref(big))
        raise KeyError(error) if error == "retry" else ValueError(error)

    gc.collect()
    gc.disable()
    try:
        run(app, task, "boom")
        run(app, task, "retry")
        assert [reference() for reference in alive] == [None, None]
    finally:
        gc.enable()


# -- messages that can not be run --------------------------------------------------------------------------------------


def test_an_unknown_task(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    app.task(name="proj.add")(lambda: None)
    told: list[Any] = []

    def tell(**arguments: Any) -> None:
        told.append(arguments)

    signals.task_unknown.connect(tell)
    attempt = attempt_of(app, "proj.ad", 1, task_id="1")
    outcome = attempt.run()
    signals.task_unknown.disconnect(tell)
    assert isinstance(outcome, Unrunnable)
    assert "'proj.ad'" in outcome.reason
    assert "Did you mean proj.add" in outcome.reason
    assert isinstance(stored(outcome)["result"], NotRegistered)
    assert "proj.ad[1]" in caplog.text
    assert (told[0]["name"], told[0]["id"], type(told[0]["exc"])) == ("proj.ad", "1", NotRegistered)
    assert attempt.task is None
    assert not attempt.is_coroutine


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"body": b"not json"}, "DecodeError"),
        ({"body": b"[[], {}]"}, "InvalidTaskError"),
        ({"content_type": "application/x-python-serialize"}, "ContentDisallowed"),
    ],
)
def test_a_body_that_can_not_or_must_not_be_read(
    app: Celeriac, caplog: pytest.LogCaptureFixture, change: dict[str, Any], text: str
) -> None:
    task = app.task(name="t")(lambda: None)
    told: list[type] = []

    def tell(exc: Exception, **_: Any) -> None:
        told.append(type(exc))

    signals.task_rejected.connect(tell)
    message = make_message(app, task)
    for name, value in change.items():
        setattr(message, name, value)
    outcome = Attempt(app, Job(1, message, "celery"), SITE).run()
    signals.task_rejected.disconnect(tell)
    assert isinstance(outcome, Unrunnable)
    assert text in outcome.reason
    assert text == told[0].__name__ == type(stored(outcome)["result"]).__name__
    assert text in caplog.text


def test_no_result_for_a_message_without_an_id(app: Celeriac) -> None:
    outcome = Attempt(app, Job(1, Message({"task": "t"}, {}, b"[[], {}, {}]"), "celery"), SITE).run()
    assert isinstance(outcome, Unrunnable)
    assert outcome.result is None


@pytest.mark.parametrize(
    ("embed", "text"),
    [
        ({"chain": [{"task": "t"}]}, "chain"),
        ({"chord": {"task": "t"}}, "chord"),
        ({"callbacks": [{"task": "celery.group", "subtask_type": "group"}]}, "group"),
        ({"errbacks": [{"task": "t", "options": {"chord": {"task": "t"}}}]}, "chord"),
    ],
)
def test_what_would_be_dropped_is_not_run(app: Celeriac, embed: dict[str, Any], text: str) -> None:
    import json

    ran: list[int] = []
    app.task(name="t")(lambda: ran.append(1))
    body = json.dumps([[], {}, embed]).encode()
    outcome = Attempt(app, Job(1, Message({"task": "t", "id": "1"}, {}, body), "celery"), SITE).run()
    assert isinstance(outcome, Unrunnable)
    assert text in outcome.reason
    assert not ran


def test_the_end_of_a_chain_is_run(app: Celeriac) -> None:
    app.task(name="t")(lambda: 1)
    body = b'[[], {}, {"chain": []}]'
    outcome = Attempt(app, Job(1, Message({"task": "t", "id": "1"}, {}, body), "celery"), SITE).run()
    assert isinstance(outcome, Succeeded)


def test_protocol_1(app: Celeriac) -> None:
    app.task(name="t")(lambda x: x)
    attempt = Attempt(app, Job(1, Message({}, {}, b'{"task": "t", "id": "1", "args": [7]}'), "celery"), SITE)
    assert (attempt.name, attempt.task_id) == ("", "")
    assert stored(attempt.run())["result"] == 7
    assert (attempt.name, attempt.task_id) == ("t", "1")


# -- the request -------------------------------------------------------------------------------------------------------


def test_the_request_tells_all_about_the_call(app: Celeriac) -> None:
    seen: list[Any] = []

    @app.task(name="t", bind=True)
    def task(self: Task[..., Any], x: int) -> None:
        seen.append((self.request, get_current_task()))

    message = make_message(
        app, task, 1, task_id="1", headers={"tenant": "acme"}, time_limit=9, retries=2, reply_to="me", shadow="s"
    )
    Attempt(app, Job(1, message, "q", losses=1, priority=4), Site("w1@host", 1, logfile="log", loglevel=20)).run()
    request, current = seen[0]
    assert current is task
    assert request.id == request.root_id == request.correlation_id == "1"
    assert (request.task, request.args, request.kwargs) == ("t", [1], {})
    assert (request.retries, request.timelimit, request.hostname) == (2, [9, None], "w1@host")
    assert (request.logfile, request.loglevel, request.reply_to, request.shadow) == ("log", 20, "me", "s")
    assert request.delivery_info == {
        "exchange": "",
        "routing_key": "q",
        "priority": 4,
        "redelivered": True,
        "is_eager": False,
    }
    assert request.headers == {"tenant": "acme"}
    assert request.tenant == "acme"
    assert not request.called_directly
    assert task.request.called_directly  # it is over


def test_a_task_that_calls_itself_gets_a_request_of_its_own(app: Celeriac) -> None:
    seen: list[Any] = []

    @app.task(bind=True)
    def task(self: Task[[int], None], depth: int) -> None:
        seen.append((self.request.id, self.request.called_directly))
        if depth:
            self(depth - 1)
            seen.append(self.request.id)

    @app.task(bind=True)
    async def coroutine(self: Any, depth: int) -> None:
        seen.append((self.request.id, self.request.called_directly))
        if depth:
            await self(depth - 1)
            seen.append(self.request.id)

    for one in (task, coroutine):
        seen.clear()
        run(app, one, 1, task_id="1")
        assert seen == [("1", False), (None, True), "1"]


def test_an_overridden_call_runs_in_the_worker(app: Celeriac) -> None:
    class Traced(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return ("around", self.request.id, super().__call__(*args, **kwargs))

    @app.task(base=Traced, bind=True)
    def task(self: Task[..., Any]) -> Any:
        return self.request.called_directly

    assert stored(run(app, task, task_id="1"))["result"] == ["around", "1", False]


def test_children_and_ancestry(app: Celeriac, worker: HandWorker) -> None:
    @app.task(name="child")
    def child() -> None: ...

    @app.task
    def parent() -> None:
        child.apply_async(task_id="c1")
        child.apply_async(task_id="c2", add_to_parent=False)
        app.send_task("child", task_id="c3")

    @app.task(trail=False)
    def silent() -> None:
        child.delay()

    meta = stored(run(app, parent, task_id="p", root_id="r"))
    assert meta["children"] == [[["c1", None], None], [["c3", None], None]]
    assert {d.message.headers["root_id"] for d in worker.waiting()} == {"r"}
    assert {d.message.headers["parent_id"] for d in worker.waiting()} == {"p"}
    assert stored(run(app, silent))["children"] == []


def test_parent_priority_is_inherited_if_wanted(app: Celeriac, worker: HandWorker) -> None:
    app.conf.task_inherit_parent_priority = True

    @app.task
    def parent() -> None:
        app.send_task("child")

    Attempt(app, Job(1, make_message(app, parent), "celery", priority=6), SITE).run()
    assert worker.waiting()[0].priority == 6


# -- handlers, signals, log lines --------------------------------------------------------------------------------------


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


def test_signals_of_a_run(app: Celeriac) -> None:
    heard: list[Any] = []
    names = ("task_prerun", "task_postrun", "task_success", "task_failure", "task_retry")

    def listener(name: str) -> Callable[..., None]:
        def hear(signal: Any, sender: Any, **arguments: Any) -> None:
            heard.append((name, sender, arguments))

        return hear

    listeners = [(getattr(signals, name), listener(name)) for name in names]

    @app.task(bind=True)
    def task(self: Task[..., Any], what: str) -> str:
        if what == "fail":
            raise ValueError("boom")
        if what == "retry":
            raise self.retry(countdown=3)
        return what

    for signal, receiver in listeners:
        signal.connect(receiver, sender=task)
    try:
        run(app, task, "good", task_id="1")
        run(app, task, "fail", task_id="2")
        run(app, task, "retry", task_id="3")
    finally:
        for signal, receiver in listeners:
            signal.disconnect(receiver, sender=task)
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
    assert line("reject") == ("Task t[1] rejected reject requeue=False: no", logging.WARNING, False)


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


# -- links and errbacks ------------------------------------------------------------------------------------------------


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


def test_errbacks_by_celerys_rule(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    called: list[Any] = []

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

    @app.task
    def failing() -> None:
        raise ValueError("boom")

    @app.task
    async def afailing() -> None:
        raise ValueError("boom")

    tasks = (broken, old, new, any_, coroutine)
    for task in (failing, afailing):
        called.clear()
        errbacks = [*(each.s() for each in tasks), app.signature("unknown", (1,))]
        outcome = run(app, task, task_id="1", link_error=errbacks)
        assert isinstance(outcome, Failed)
        assert [p.message.headers["task"] for p in outcome.follow_ups] == ["old", "unknown"]
        assert outcome.follow_ups[0].message.body.startswith(b'[["1"], {}')
        assert outcome.follow_ups[1].message.body.startswith(b'[["1", 1], {}')
        assert called == [("1", "ValueError('boom')", True), 3, "awaited"]
    assert "Errback broken" in caplog.text


def test_errbacks_of_a_run_that_can_not_speak_for_itself(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    @app.task(name="old")
    def old(task_id: str) -> None: ...

    @app.task(name="new")
    def new(request: Any, exc: BaseException, traceback: str) -> None: ...

    @app.task
    def task() -> None: ...

    message = make_message(app, task, task_id="1", root_id="0", link_error=[old.s(), new.s()])
    (publication,) = errback_publications(app, message, TimeLimitExceeded(3))
    assert publication.message.headers["task"] == "old"
    assert publication.message.headers["parent_id"] == "1"
    assert publication.message.headers["root_id"] == "0"
    assert "Errback new" in caplog.text
    assert errback_publications(app, make_message(app, task), TimeLimitExceeded(3)) == ()
    with pytest.raises(ContentDisallowed):
        errback_publications(app, Message({"task": "t", "id": "1"}, {}, b"", "x/y"), TimeLimitExceeded(3))


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
