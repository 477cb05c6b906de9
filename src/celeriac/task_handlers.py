"""The methods that a task class defines to be told of its runs; here they do nothing.

Owns their names and arguments, Celery's. When each is called is `celeriac.conclusion`'s part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.einfo import ExceptionInfo


class TaskHandlers:
    """What `Task` has to be overridden."""

    def before_start(self, task_id: str, args: Any, kwargs: Any, /) -> None:
        """Called before each run. What it raises counts as raised by the task."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any, /) -> None:
        """Called when the task has returned. The result is stored a moment later."""

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: ExceptionInfo, /) -> None:
        """Called when the task has raised."""

    def on_retry(
        self, exc: BaseException | None, task_id: str, args: Any, kwargs: Any, einfo: ExceptionInfo, /
    ) -> None:
        """Called when the task is to be retried."""

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: ExceptionInfo | None, /
    ) -> None:
        """Called after `on_success` or `on_failure`."""
