"""Storing results by hand, as workers do when tasks end."""

from __future__ import annotations

from typing import Any

from celeriac import Celeriac
from celeriac.outcome import ResultRecord
from celeriac.result_meta import encode_meta


def record(
    task_id: str, result: Any = "done", status: str = "SUCCESS", children: list[Any] | None = None
) -> ResultRecord:
    """The result of a task; that of one that has failed if it is an exception."""
    status = "FAILURE" if isinstance(result, Exception) else status
    meta = encode_meta(task_id=task_id, status=status, result=result, children=children)
    return ResultRecord(task_id, status, meta)


def finish(app: Celeriac, task_id: str, result: Any = "done", **fields: Any) -> None:
    """Store the result of a task."""
    app.backend.store([record(task_id, result, **fields)])
