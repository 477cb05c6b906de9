"""The worker: a supervisor that talks to the broker, and executors that run attempts."""

from __future__ import annotations

from celeriac.worker.options import WorkerOptions
from celeriac.worker.worker import Worker

__all__ = ["Worker", "WorkerOptions"]
