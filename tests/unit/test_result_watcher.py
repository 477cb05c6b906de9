"""The thread that watches results for others, and callbacks."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.exceptions import NotSupported, OperationalError
from storing import finish

#: Seconds after which something that should happen counts as not happening.
PATIENCE = 20.0


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celeriac]:
    with Celeriac("tests", broker=f"sqlite:///{tmp_path}/results.sqlite3") as made:
        yield made


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "celeriac-watcher"]


def test_a_callback_is_called_when_the_result_is_there(app: Celeriac) -> None:
    result = app.AsyncResult("1")
    values: list[Any] = []
    threads: list[str] = []

    def note(arrived: Any) -> None:
        values.append(arrived.get(timeout=0))
        threads.append(threading.current_thread().name)

    called = result.then(note)
    assert not called.done()
    finish(app, "1", 5)
    called.result(PATIENCE)
    assert values == [5]
    assert threads[0].startswith("celeriac-callbacks")
    result.then(note).result(0)
    assert threads[1] == threading.current_thread().name, "what is known is told at once"


def test_failures_go_to_their_own_callback(app: Celeriac) -> None:
    seen: list[Any] = []
    waiting = [
        app.AsyncResult("1").then(seen.append, on_error=lambda error: seen.append(repr(error))),
        app.ResultSet([app.AsyncResult("1"), app.AsyncResult("2")]).then(seen.append, seen.append),
    ]
    finish(app, "1", ValueError("boom"))
    waiting[0].result(PATIENCE)
    assert seen == ["ValueError('boom')"]
    finish(app, "2")
    waiting[1].result(PATIENCE)
    assert repr(seen[1]) == "ValueError('boom')"
    result = app.AsyncResult("1")
    result.then(seen.append).result(PATIENCE)
    assert seen[2] is result, "without on_error the callback is called with what failed"


def test_a_callback_that_fails_is_logged(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    called = app.AsyncResult("1").then(lambda result: 1 / 0)
    finish(app, "1")
    with pytest.raises(ZeroDivisionError):
        called.result(PATIENCE)
    assert [(entry.levelno, "then()" in entry.message) for entry in caplog.records] == [(logging.ERROR, True)]


def test_a_callback_can_be_cancelled(app: Celeriac) -> None:
    values: list[Any] = []
    called = app.AsyncResult("1").then(values.append)
    assert called.cancel()
    finish(app, "1")
    app.AsyncResult("1").then(values.append).result(PATIENCE)
    assert values == ["1"]


def test_callbacks_that_wait_are_bounded(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celeriac.result_watcher._MOST_CALLBACKS", 2)
    waiting = [app.AsyncResult(str(number)).then(print) for number in range(2)]
    with pytest.raises(OperationalError, match="ResultSet"):
        app.AsyncResult("2").then(print)
    for one in waiting:
        one.cancel()
        with pytest.raises(CancelledError):
            one.result(PATIENCE)


def test_what_can_not_be_had_is_told(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    finish(app, "1")
    app.conf.result_serializer = "yaml"
    errors: list[Any] = []
    with Celeriac("t", broker="memory://", backend="disabled://") as without, pytest.raises(NotSupported):
        without.AsyncResult("1").then(errors.append)
    with Celeriac("t", broker="memory://", backend="disabled://") as without:
        without.ResultSet([without.AsyncResult("1")]).then(print, errors.append).result(PATIENCE)
        assert isinstance(errors[0], NotSupported)
        with pytest.raises(NotSupported):
            without.ResultSet([without.AsyncResult("1")]).then(print).result(PATIENCE)
    assert "can not be had" in caplog.text


def test_the_thread_starts_when_it_is_needed_and_ends_with_the_app(app: Celeriac) -> None:
    group = app.ResultSet([app.AsyncResult("1"), app.AsyncResult("2")])
    finish(app, "1")
    finish(app, "2")
    group.get(timeout=0)
    assert watchers() == []
    app.AsyncResult("3").then(print)
    (watcher,) = watchers()
    app.AsyncResult("4").then(print)
    assert watchers() == [watcher]
    app.close()
    assert not watcher.is_alive()


def test_who_waits_while_the_app_is_closed_gets_an_error(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    await_ready = app.backend.await_ready

    def noted(task_id: str, timeout: float) -> Any:
        asked.set()
        return await_ready(task_id, timeout)

    monkeypatch.setattr(app.backend, "await_ready", noted)
    errors: list[Exception] = []

    def wait() -> None:
        try:
            app.ResultSet([app.AsyncResult("1"), app.AsyncResult("2")]).get(timeout=PATIENCE)
        except OperationalError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert asked.wait(PATIENCE)
    app.close()
    waiting.join(PATIENCE)
    assert len(errors) == 1
    assert "closed" in str(errors[0])


def test_a_callback_may_close_the_app(app: Celeriac) -> None:
    closed = threading.Event()

    def close(result: object) -> None:
        app.close()
        closed.set()

    app.AsyncResult("1").then(close)
    (watcher,) = watchers()
    finish(app, "1")
    assert closed.wait(PATIENCE)
    watcher.join(PATIENCE)
    assert not watcher.is_alive()


def test_a_forked_child_has_a_thread_of_its_own(app: Celeriac) -> None:
    values: list[Any] = []
    finish(app, "1")
    app.AsyncResult("1").then(values.append).result(PATIENCE)
    pid = os.fork()
    if pid == 0:
        failed = 1
        try:
            app.AsyncResult("1").then(values.append).result(PATIENCE)
            failed = len(values) != 2
            app.close()
        finally:
            os._exit(failed)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
