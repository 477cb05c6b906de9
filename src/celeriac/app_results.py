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
    from celeriac.backends.base import Backend
    from celeriac.result_watcher import Watcher


class GroupResults:
    """Results of groups that belong to one app; called, it makes one.

    Args:
        app: the app.
    """

    def __init__(self, app: Celeriac) -> None:
        self._app = app

    def __call__(
        self,
        id: str,  # noqa: A002 - Celery's name
        results: Iterable[AnyResult] = (),
        parent: AnyResult | None = None,
        app: Celeriac | None = None,
    ) -> GroupResult:
        """See `celeriac.group_result.GroupResult`."""
        return GroupResult(id, results, parent, app=app or self._app)

    def restore(
        self,
        id: str,  # noqa: A002 - Celery's name
        backend: Backend | None = None,
        app: Celeriac | None = None,
    ) -> GroupResult | None:
        """See `celeriac.group_result.GroupResult.restore`."""
        return GroupResult.restore(id, backend, app or self._app)

    async def arestore(
        self,
        id: str,  # noqa: A002 - Celery's name
        backend: Backend | None = None,
        app: Celeriac | None = None,
    ) -> GroupResult | None:
        """`restore` for asyncio."""
        return await GroupResult.arestore(id, backend, app or self._app)


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

    @property
    def GroupResult(self) -> GroupResults:  # noqa: N802 - Celery's name
        """Makes and restores results of groups: `app.GroupResult(id, results)`, `app.GroupResult.restore(id)`."""
        return GroupResults(self._as_app())

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
