"""The log lines of runs, by logger `celeriac.task`, with Celery's words.

Owns the texts. Nothing is formatted unless its level is enabled.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celeriac.protocol import safe_repr

if TYPE_CHECKING:
    from celeriac.exceptions import Reject, Replace, Retry
    from celeriac.request import Request
    from celeriac.task import Task

logger = logging.getLogger("celeriac.task")


def _name(task: Task[Any, Any], request: Request) -> str:
    return request.shadow or task.name


def succeeded(task: Task[Any, Any], request: Request, runtime: float, retval: Any) -> None:
    """The task has returned, after `runtime` seconds."""
    if logger.isEnabledFor(logging.INFO):
        shown = safe_repr(retval, task.resultrepr_maxsize)
        logger.info("Task %s[%s] succeeded in %.6gs: %s", _name(task, request), request.id, runtime, shown)


def failed(task: Task[Any, Any], request: Request, exc: BaseException) -> None:
    """The task has raised; what it `throws` is expected and needs no traceback."""
    if task.throws and isinstance(exc, tuple(task.throws)):
        logger.info("Task %s[%s] raised expected: %s", _name(task, request), request.id, safe_repr(exc))
    else:
        traceback = exc if exc.__traceback__ is not None else None  # else it would repeat the line
        logger.error(
            "Task %s[%s] raised unexpected: %s", _name(task, request), request.id, safe_repr(exc), exc_info=traceback
        )


def retried(task: Task[Any, Any], request: Request, retry: Retry) -> None:
    """The task is to be run again."""
    logger.info("Task %s[%s] retry: %s", _name(task, request), request.id, retry)


def ignored(task: Task[Any, Any], request: Request) -> None:
    """The task raised `Ignore`."""
    logger.info("Task %s[%s] ignored", _name(task, request), request.id)


def replaced(task: Task[Any, Any], request: Request, exc: Replace) -> None:
    """The task has put another one in its place."""
    logger.info("Task %s[%s] replaced by %s", _name(task, request), request.id, exc.signature.get("task"))


def rejected(task: Task[Any, Any], request: Request, exc: Reject) -> None:
    """The task raised `Reject`."""
    reason = exc.reason if exc.reason is not None else "no reason given"
    logger.warning("Task %s[%s] rejected (requeue=%s): %s", _name(task, request), request.id, exc.requeue, reason)


def internal_error(task: Task[Any, Any], request: Request, error: Exception) -> None:
    """The run could not be brought to its end."""
    logger.error(
        "Task %s[%s]: the run could not be concluded: %r", _name(task, request), request.id, error, exc_info=error
    )


def handler_failed(task: Task[Any, Any], request: Request, handler: str, error: Exception) -> None:
    """A handler of the task's raised."""
    logger.error("Task %s[%s]: %s raised %r", _name(task, request), request.id, handler, error, exc_info=error)
