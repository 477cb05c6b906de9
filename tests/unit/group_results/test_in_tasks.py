"""Results of several tasks, inside tasks."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celeriac, allow_join_result, denied_join_result
from grouping import group_of
from hand_worker import HandWorker
from storing import finish


def test_a_task_must_not_wait_for_a_group() -> None:
    with Celeriac("t", broker="memory://waiting-tasks") as app:
        finish(app, "1")
        seen: list[Any] = []

        @app.task
        def waits(how: str) -> None:
            if how == "allowed":
                with allow_join_result():
                    seen.append(group_of(app, "1").get(timeout=0))
            elif how == "iterating":
                seen.extend(group_of(app, "1").iterate(timeout=0))
            else:
                seen.append(group_of(app, "1").get(timeout=0))

        @app.task
        async def awaits() -> None:
            seen.append(await group_of(app, "1").aget(timeout=0))

        refused = [waits.delay("plain"), waits.delay("iterating")]
        waits.delay("allowed")
        awaits.delay()
        HandWorker(app).run()
        assert seen == [["done"], ["done"]]
        for result in refused:
            with pytest.raises(RuntimeError, match="disable_sync_subtasks"):
                result.get(timeout=0)


def test_waiting_can_be_denied_anywhere(app: Celeriac) -> None:
    finish(app, "1")
    with denied_join_result():
        for get in (group_of(app, "1").get, app.AsyncResult("1").get):
            with pytest.raises(RuntimeError, match="denied_join_result"):
                get(timeout=0)
        with allow_join_result():
            assert group_of(app, "1").get(timeout=0) == ["done"]
    assert group_of(app, "1").get(timeout=0) == ["done"]


def test_a_group_among_the_children_of_a_task() -> None:
    with Celeriac("t", broker="memory://group-children") as app:

        @app.task(bind=True)
        def sends(self: Any) -> None:
            self.request.children.append(group_of(app, "1", "2"))

        result = sends.delay()
        HandWorker(app).run()
        assert result.children == [group_of(app, "1", "2")]
