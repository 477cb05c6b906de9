"""The app's results: by their ids, and the thread that watches them.

Owns that thread's life. What results are is `celeriac.result`'s and `celeriac.group_result`'s part.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from celeriac.group_result import GroupResult, ResultSet
from celeriac.result import AnyResult, AsyncResult

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.result_watcher import Watcher


class AppResults:
    """The part of `Celeriac` that makes results."""

    _watcher: Watcher | None = None
    _lock: threading.RLock

    def AsyncResult(self, task_id: str) -> AsyncResult[Any]:  # noqa: N802 - Celery's name
        """The result of the call with this id."""
        return AsyncResult(task_id, app=self._as_app())

    def ResultSet(self, results: Iterable[AnyResult]) -> ResultSet:  # noqa: N802 - Celery's name
        """Results that are asked and waited for together."""
        return ResultSet(results, app=self._as_app())

    def GroupResult(  # noqa: N802 - Celery's name
        self,
        id: str,  # noqa: A002 - Celery's name
        results: Iterable[AnyResult] = (),
        parent: AnyResult | None = None,
    ) -> GroupResult:
        """The result of a group with this id and these members. A saved one: `GroupResult.restore(id, app=app)`."""
        return GroupResult(id, results, parent, app=self._as_app())

    @property
    def watcher(self) -> Watcher:
        """Watches crowds of results for threads; its own thread starts when it is needed and ends with the app."""
        if self._watcher is None:
            from celeriac.result_watcher import Watcher  # noqa: PLC0415 - start-up time; see `celeriac.loops`

            with self._lock:
                if self._watcher is None:  # else another thread was faster
                    self._watcher = Watcher()
        return self._watcher

    def _stop_watching(self) -> None:
        with self._lock:
            watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()

    def _as_app(self) -> Celeriac:
        return cast("Celeriac", self)
