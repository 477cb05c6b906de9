"""What a worker or client of either side is told by the test that starts it, in one environment variable."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

VARIABLE = "INTEROP"


class Told(NamedTuple):
    """What the variable holds.

    Attributes:
        journal: URL of the journal's database.
        settings: settings of the app; both sides take the same.
        ready: key of the journal to note the worker's readiness under.
    """

    journal: str
    settings: dict[str, Any]
    ready: str

    def settings_with(self, broadcast: Callable[[str], object]) -> dict[str, Any]:
        """The settings with the side's own class `Broadcast`; see `with_broadcasts`."""
        return with_broadcasts(self.settings, broadcast)

    def variables(self) -> dict[str, str]:
        """The environment variable, for a process to be started."""
        return {VARIABLE: json.dumps(self._asdict())}


def with_broadcasts(settings: Mapping[str, Any], broadcast: Callable[[str], object]) -> dict[str, Any]:
    """Put objects in the place of those queues in `task_queues` that are told as `{"broadcast": True}`."""
    queues = settings.get("task_queues")
    if queues is None:
        return dict(settings)
    made = {name: broadcast(name) if options.get("broadcast") else options for name, options in queues.items()}
    return {**settings, "task_queues": made}


def told() -> Told:
    """What this process was told."""
    return Told(**json.loads(os.environ[VARIABLE]))
