"""Short words for the tests of results of several tasks."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any, Final

import pytest

from celeriac import AsyncResult, Celeriac, GroupResult

#: Seconds after which something that should happen counts as not happening.
PATIENCE: Final = 20.0


def group_of(app: Celeriac, *ids: str) -> GroupResult:
    return GroupResult("g", [AsyncResult(one, app=app) for one in ids], app=app)


def trips_of(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each call to the backend that asks for results."""
    trips: list[str] = []
    for name in ("load", "aload", "load_many", "aload_many", "wait_ready", "await_ready"):
        monkeypatch.setattr(app.backend, name, noting(getattr(app.backend, name), name, trips))
    return trips


def noting(function: Callable[..., Any], name: str, trips: list[str]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        trips.append(name)
        return function(*args)

    return call


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Run it in a thread, with nothing of what is current here; call the answer for what it returned."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(contextvars.Context().run(function)))
    thread.start()

    def join() -> Any:
        thread.join(PATIENCE)
        return results[0]

    return join


def error_of(function: Callable[[], object]) -> BaseException | None:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller looks at it
        return error
    return None
