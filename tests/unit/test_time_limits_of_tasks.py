"""Whose time limit a message carries: the call's or the task's. The setting is the worker's business."""

from __future__ import annotations

import pytest

from celeriac import Celeriac
from celeriac.signals import before_task_publish


@pytest.mark.parametrize(
    ("task_limit", "call_limit", "sent"),
    [(None, None, None), (20, None, 20), (20, 10, 10), (None, 10, 10)],
)
def test_the_setting_does_not_travel_so_that_the_workers_option_can_override_it(
    task_limit: float | None, call_limit: float | None, sent: float | None
) -> None:
    app = Celeriac("limits", broker="memory://", task_time_limit=5, task_soft_time_limit=4, set_as_current=False)

    @app.task(name="limits.task", time_limit=task_limit)
    def task() -> None: ...

    limits: list[object] = []

    def note(headers: dict[str, object], **_: object) -> None:
        limits.append(headers["timelimit"])

    before_task_publish.connect(note)
    try:
        task.apply_async(time_limit=call_limit)
    finally:
        before_task_publish.disconnect(note)
    assert limits == [[sent, None]]
