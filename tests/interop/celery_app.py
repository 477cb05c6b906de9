"""The app of the real Celery; runs in an environment of its own."""

from __future__ import annotations

import importlib
from typing import Any

from integration.workflows import flow_tasks
from integration.workflows.trees import Words
from interop.journal import Journal
from interop.settings import told
from interop.tasks import Side, declare, declare_captured

# Installed in that environment only, so it has no types here.
_celery: Any = importlib.import_module("celery")
_exceptions: Any = importlib.import_module("celery.exceptions")
_signals: Any = importlib.import_module("celery.signals")
_broadcast: Any = importlib.import_module("kombu.common").Broadcast


class CeleryBoom(Exception):
    """A class that only Celery's side can import."""


def make_app(**changes: Any) -> Any:
    """An app without tasks, with the settings that this process was told and `changes`."""
    app = _celery.Celery("celery_side", set_as_current=False)
    app.conf.update(told().settings_with(_broadcast) | {"broker_connection_retry_on_startup": True} | changes)
    return app


app = make_app()
_journal = Journal(told().journal)
declare(app, Side("celery", _journal, CeleryBoom, _exceptions.Reject, _exceptions.SoftTimeLimitExceeded))
declare_captured(app)
words = Words(app, _celery.chain, _celery.group, _celery.chord)
flow_tasks.declare(app, _journal.note, words)


def _on_ready(**_: Any) -> None:
    _journal.note(told().ready, "celery")


_signals.worker_ready.connect(_on_ready, weak=False)
