"""What `celeriac -A` finds: the app as the environment describes it."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.chaos.app import build

app = build(
    Path(os.environ["CHAOS_FOLDER"]),
    lease_seconds=float(os.environ["CHAOS_LEASE_SECONDS"]),
    max_deliveries=int(os.environ["CHAOS_MAX_DELIVERIES"]),
)
