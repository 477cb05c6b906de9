"""Celeriac: a distributed task queue that speaks Celery's words and wire format."""

from typing import TYPE_CHECKING

from celeriac.app import Celeriac
from celeriac.canvas import (
    Signature,
    StampingVisitor,
    chain,
    chord,
    chunks,
    group,
    maybe_signature,
    signature,
    xmap,
    xstarmap,
)
from celeriac.canvas import signature as subtask
from celeriac.current import current_app, get_current_app
from celeriac.declaring import shared_task
from celeriac.eager_result import EagerResult
from celeriac.entities import Broadcast, Exchange, Queue, binding, worker_direct
from celeriac.exceptions import Ignore, Reject, Retry
from celeriac.group_result import GroupResult, ResultSet
from celeriac.option_types import CallOptions, TaskOptions
from celeriac.request import Request, current_task, get_current_task
from celeriac.result import AsyncResult, allow_join_result, denied_join_result, result_from_tuple
from celeriac.task import CoroutineTask, Task
from celeriac.version import __version__

if not TYPE_CHECKING:  # type checkers shall go on to say that a name is missing
    from celeriac.celery_names import missing_from_package as __getattr__  # noqa: F401 - Python calls it

__all__ = [
    "AsyncResult",
    "Broadcast",
    "CallOptions",
    "Celeriac",
    "CoroutineTask",
    "EagerResult",
    "Exchange",
    "GroupResult",
    "Ignore",
    "Queue",
    "Reject",
    "Request",
    "ResultSet",
    "Retry",
    "Signature",
    "StampingVisitor",
    "Task",
    "TaskOptions",
    "__version__",
    "allow_join_result",
    "binding",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "denied_join_result",
    "get_current_app",
    "get_current_task",
    "group",
    "maybe_signature",
    "result_from_tuple",
    "shared_task",
    "signature",
    "subtask",
    "worker_direct",
    "xmap",
    "xstarmap",
]
