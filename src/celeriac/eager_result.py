"""The result of a task that ran in place: there at once, and stored nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.result import AsyncResult, R_co

if TYPE_CHECKING:
    from celeriac.app import Celeriac


class EagerResult(AsyncResult[R_co]):
    """The result of a task that ran in place."""

    def __init__(
        self,
        id: str,  # noqa: A002 - Celery's name
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
        app: Celeriac | None = None,
        children: list[AsyncResult[Any]] | None = None,
    ) -> None:
        super().__init__(id, task_name=name, app=app)
        self._children = children
        self._eager: dict[str, Any] = {
            "status": state,
            "result": ret_value,
            "traceback": traceback,
            "name": name,
        }

    def _meta(self) -> dict[str, Any]:
        return self._eager

    async def _ameta(self) -> dict[str, Any]:
        return self._eager

    def _wait(self, timeout: float | None) -> dict[str, Any]:  # noqa: ARG002 - it is there already
        return self._eager

    async def _await(self, timeout: float | None) -> dict[str, Any]:  # noqa: ARG002 - as above
        return self._eager

    @property
    def children(self) -> list[AsyncResult[Any]] | None:
        return self._children

    def exists(self) -> bool:
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with its value, as it is stored nowhere."""
        eager = self._eager
        arguments = (eager["result"], eager["status"], eager["traceback"], eager["name"], None, self._children)
        return type(self), (self.id, *arguments)

    def forget(self) -> None:
        """Nothing is stored that would have to be deleted."""

    async def aforget(self) -> None:
        """Nothing is stored that would have to be deleted."""
