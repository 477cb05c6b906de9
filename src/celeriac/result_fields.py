"""What a stored result tells, as attributes of `AsyncResult`: state, value, and the fields beside them.

Owns their names, which are Celery's. Knows nothing of where a result's meta comes from.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from celeriac import states
from celeriac.protocol import parse_iso


class ResultFields:
    """Fields of the result's meta; a subclass gives that."""

    __slots__ = ()

    def _meta(self) -> dict[str, Any]:
        raise NotImplementedError

    async def _ameta(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def state(self) -> str:
        """One of `celeriac.states`, or the task's own. PENDING also stands for "never heard of it"."""
        status: str = self._meta()["status"]
        return status

    status = state

    async def astate(self) -> str:
        """`state` for asyncio."""
        status: str = (await self._ameta())["status"]
        return status

    @property
    def result(self) -> Any:
        """What it returned, or the exception, or the meta of a custom state. None while there is nothing."""
        return self._meta()["result"]

    info = result

    async def aresult(self) -> Any:
        """`result` for asyncio."""
        return (await self._ameta())["result"]

    def ready(self) -> bool:
        """It has succeeded, failed, or was revoked."""
        return self.state in states.READY_STATES

    async def aready(self) -> bool:
        """`ready` for asyncio."""
        return await self.astate() in states.READY_STATES

    def successful(self) -> bool:
        """It has returned."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """It has raised."""
        return self.state == states.FAILURE

    @property
    def traceback(self) -> str | None:
        """The traceback as text, if it raised."""
        return self._meta().get("traceback")

    @property
    def date_done(self) -> datetime | None:
        """When it was done."""
        text = self._meta().get("date_done")
        return parse_iso(text) if isinstance(text, str) else text

    @property
    def name(self) -> str | None:
        """The task's name, known with `result_extended`."""
        return self._meta().get("name")

    @property
    def args(self) -> list[Any] | None:
        """Positional arguments, known with `result_extended`."""
        return self._meta().get("args")

    @property
    def kwargs(self) -> dict[str, Any] | None:
        """Keyword arguments, known with `result_extended`."""
        return self._meta().get("kwargs")

    @property
    def worker(self) -> str | None:
        """Who ran it, known with `result_extended`."""
        return self._meta().get("worker")

    @property
    def retries(self) -> int | None:
        """How often it was retried, known with `result_extended`."""
        return self._meta().get("retries")

    @property
    def queue(self) -> str | None:
        """The queue it came through, known with `result_extended`."""
        return self._meta().get("queue")
