"""Celery's words for workflows."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks.apps import celery_app
from benchmarks.apps.shapes import Words

# Installed in the peer's own environment only, so it has no types here.
_celery: Any = importlib.import_module("celery")

words = Words(
    _celery.chain,
    _celery.group,
    _celery.chord,
    *(celery_app.app.tasks[f"bench.{name}"] for name in ("step", "value", "total")),
)
