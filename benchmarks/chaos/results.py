"""Results as a file: machine, versions, settings and all figures, as JSON under `benchmarks/results`."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.chaos.rabbit import RabbitServer
from benchmarks.chaos.server import RedisServer
from benchmarks.environments import ROOT


def describe(on: str) -> dict[str, Any]:
    """The machine and the server, before anything is run.

    Args:
        on: `rabbitmq`; anything else is taken for Redis.

    Raises:
        RuntimeError: there is no server.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        place = Path(folder)
        with RabbitServer(place) if on == "rabbitmq" else RedisServer(place, fsync="everysec") as server:
            return machine.describe() | {"rabbitmq" if on == "rabbitmq" else "redis": server.version()}


def write(name: str, about: dict[str, Any], **parts: Any) -> Path:
    """Write `parts` and what `describe` gave; the path, relative to the repository."""
    now = datetime.now(UTC)
    path = ROOT / "benchmarks" / "results" / f"chaos-{name}-{now:%Y-%m-%d}-{machine.kind()}.json"
    content = {"machine": about, "date": f"{now:%Y-%m-%dT%H:%MZ}", **parts}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path.relative_to(ROOT)
