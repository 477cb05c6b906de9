"""The task that calls errbacks of runs which can not: lost ones, and those that a time limit ended by force.

Such a failure is written by a supervisor, which runs no task code. An errback that wants to be called with the
exception is therefore called by this task, in an executor. A Celery worker does not know it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from celeriac.canvas.signature import Signature
from celeriac.follow_ups import LATE_ERRBACK
from celeriac.loops import run_in_new_loop
from celeriac.remote_errors import exception_from_meta
from celeriac.request import Request
from celeriac.task import Task


class LateErrback(Task[[dict[str, Any], dict[str, Any], dict[str, Any]], None]):
    """Calls an errback with `(request, exception, traceback)`; there is no traceback."""

    name = LATE_ERRBACK
    ignore_result = True

    def run(self, errback: dict[str, Any], request: dict[str, Any], exception: dict[str, Any]) -> None:
        """Call it.

        Args:
            errback: the errback's signature.
            request: the failed run's request.
            exception: what it failed with, as in result meta.
        """
        failed = Request()
        failed.update(**request)
        called: object = Signature.from_dict(errback, self.app)(failed, exception_from_meta(exception), None)
        if isinstance(called, Coroutine):
            run_in_new_loop(called)
