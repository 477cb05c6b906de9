"""Errbacks of a chord on the tasks of its header: called like any others, with their arguments."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celeriac, chord
from hand_worker import HandWorker


@pytest.mark.parametrize("given", ["by link_error", "as an option"])
def test_errbacks_of_the_header_get_what_errbacks_get(app: Celeriac, worker: HandWorker, given: str) -> None:
    app.conf.task_allow_error_cb_on_chord_header = True
    told: list[object] = []

    @app.task
    def fail() -> None:
        raise ValueError("broken")

    @app.task
    def gather(values: list[int]) -> list[int]:
        return values

    @app.task
    def with_exception(request: Any, exc: BaseException, traceback: object) -> None:
        told.append((request.id, repr(exc)))

    @app.task
    def with_id(task_id: str) -> None:
        told.append(task_id)

    errbacks = [with_exception.s(), with_id.s()]
    workflow = chord([fail.s().set(task_id="member")], gather.s().set(task_id="body"))
    if given == "by link_error":
        for errback in errbacks:
            workflow.link_error(errback)
        workflow.apply_async()
    else:
        workflow.apply_async(link_error=errbacks)
    worker.run_all()
    assert ("member", "ValueError('broken')") in told
    assert "member" in told
