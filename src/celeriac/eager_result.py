"""The result of a task that ran in place: there at once, and stored nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celeriac.result import AnyResult, AsyncResult, R_co
from celeriac.result_joins import assert_will_not_block

if TYPE_CHECKING:
    from celeriac.app import Celeriac


class EagerResult(AsyncResult[R_co]):
    """The result of a task that ran in place."""

    __slots__ = ("_children", "_eager")

    def __init__(
        self,
        id: str,  # noqa: A002 - Celery's name
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
        app: Celeriac | None = None,
        children: list[AnyResult] | None = None,
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

    @property
    def known_state(self) -> str:
        state: str = self._eager["status"]
        return state

    def value(self) -> R_co:
        value: R_co = self._eager["result"]
        return value

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """What it returned; see `AsyncResult.get`. There is nothing to wait for."""
        del timeout, interval, no_ack, follow_parents
        if disable_sync_subtasks:
            assert_will_not_block()
        return self.maybe_throw(propagate, callback)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        follow_parents: bool = True,
    ) -> R_co:
        """What it returned; see `AsyncResult.aget`."""
        del timeout, follow_parents
        return self.maybe_throw(propagate, callback)

    @property
    def children(self) -> list[AnyResult] | None:
        return self._children

    def exists(self) -> bool:
        return True

    def __copy__(self) -> EagerResult[R_co]:
        eager = self._eager
        arguments = (eager["result"], eager["status"], eager["traceback"], eager["name"], self.app, self._children)
        twin = type(self)(self.id, *arguments)
        twin.parent = self.parent
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with its value, as it is stored nowhere."""
        eager = self._eager
        arguments = (eager["result"], eager["status"], eager["traceback"], eager["name"], None, self._children)
        return type(self), (self.id, *arguments)

    def let_go(self) -> None:
        """Nothing is stored that would have to be deleted."""
