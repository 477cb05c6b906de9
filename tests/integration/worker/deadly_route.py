"""A router that kills the process which asks it, for one task and once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Final

#: There once it has killed.
KILLED: Final = "route-killed"


def kills_once(name: str, *_: object, **__: object) -> dict[str, Any] | None:
    """Where to send a task: wherever the settings say."""
    if name == "worker_app.echo":
        try:
            (Path(os.environ["CELERIAC_TEST_FOLDER"]) / KILLED).touch(exist_ok=False)
        except FileExistsError:
            return None
        os.kill(os.getpid(), signal.SIGKILL)
    return None
