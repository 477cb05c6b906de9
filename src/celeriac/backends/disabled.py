"""No results: what is stored is dropped, and asking for it is an error that names the cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from celeriac.backends.groupless import GrouplessBackend
from celeriac.exceptions import NotSupported
from celeriac.outcome import ResultRecord


class DisabledBackend(GrouplessBackend):
    """The backend of `result_backend = "disabled://"`."""

    address = "disabled://"
    why_no_groups = "where results are turned off: set result_backend, for example to 'sqlite:///results.sqlite3'"

    def store(self, records: Sequence[ResultRecord]) -> None:
        """Drop them."""

    async def astore(self, records: Sequence[ResultRecord]) -> None:
        """Drop them."""

    def load(self, task_id: str) -> ResultRecord | None:
        """Always raises NotSupported."""
        _refuse(task_id)

    async def aload(self, task_id: str) -> ResultRecord | None:
        """Always raises NotSupported."""
        _refuse(task_id)

    def load_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """Always raises NotSupported, if anything is asked for."""
        for task_id in task_ids:
            _refuse(task_id)
        return []

    async def aload_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """Always raises NotSupported, if anything is asked for."""
        return self.load_many(task_ids)

    def wait_ready(self, task_id: str, timeout: float) -> ResultRecord | None:  # noqa: ARG002 - the contract's
        """Always raises NotSupported, at once."""
        _refuse(task_id)

    async def await_ready(self, task_id: str, timeout: float) -> ResultRecord | None:  # noqa: ARG002
        """Always raises NotSupported, at once."""
        _refuse(task_id)

    def forget(self, task_id: str) -> None:
        """Nothing is kept."""

    async def aforget(self, task_id: str) -> None:
        """Nothing is kept."""

    def forget_many(self, task_ids: Sequence[str]) -> None:
        """Nothing is kept."""

    async def aforget_many(self, task_ids: Sequence[str]) -> None:
        """Nothing is kept."""

    async def sweep(self) -> int:
        """Nothing is kept."""
        return 0

    def disconnect(self) -> None:
        """There is nothing to close."""


def _refuse(task_id: str) -> NoReturn:
    raise NotSupported(
        f"the result of task {task_id} is not available: results are turned off here; "
        "set result_backend, for example to 'sqlite:///results.sqlite3'"
    )
