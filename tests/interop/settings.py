"""What a worker or client of either side is told by the test that starts it, in one environment variable."""

from __future__ import annotations

import json
import os
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

    def variables(self) -> dict[str, str]:
        """The environment variable, for a process to be started."""
        return {VARIABLE: json.dumps(self._asdict())}


def told() -> Told:
    """What this process was told."""
    return Told(**json.loads(os.environ[VARIABLE]))
