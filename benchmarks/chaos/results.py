"""Results as a file: machine, versions, settings and all figures, as JSON under `benchmarks/results`."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.chaos.server import Server
from benchmarks.environments import ROOT


def describe() -> dict[str, Any]:
    """The machine and its Redis server, before anything is run.

    Raises:
        RuntimeError: there is no server.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, Server(Path(folder), fsync="everysec") as server:
        return machine.describe() | {"redis": server.version()}


def write(name: str, about: dict[str, Any], **parts: Any) -> Path:
    """Write `parts` and what `describe` gave; the path, relative to the repository."""
    now = datetime.now(UTC)
    path = ROOT / "benchmarks" / "results" / f"chaos-{name}-{now:%Y-%m-%d}-{machine.kind()}.json"
    content = {"machine": about, "date": f"{now:%Y-%m-%dT%H:%MZ}", **parts}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path.relative_to(ROOT)
