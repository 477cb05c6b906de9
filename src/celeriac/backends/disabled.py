"""No results: what is stored is dropped, and asking for it is an error that names the cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from celeriac.exceptions import NotSupported
from celeriac.outcome import ResultRecord


class DisabledBackend:
    """The backend of `result_backend = "disabled://"`."""

    address = "disabled://"

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
