"""One run of a message: what it comes to, and what is stored of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac, Ignore, Reject, Retry
from celeriac.exceptions import (
    SoftTimeLimitExceeded,
    TimeLimitExceeded,
)
from celeriac.outcome import (
    Failed,
    Ignored,
    Rejected,
    Retried,
    Succeeded,
    TimedOut,
)
from hand_worker import attempt_of, raise_, run, stored


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
