"""The app of Celeriac's workers."""

from __future__ import annotations

from typing import Any

from celeriac import Broadcast, Celeriac, chain, chord, group, signals
from celeriac.exceptions import Reject, SoftTimeLimitExceeded
from integration.workflows import flow_tasks
from integration.workflows.trees import Words
from interop.journal import Journal
from interop.settings import told
from interop.tasks import Side, declare


class CeleriacBoom(Exception):
    """A class that only Celeriac's side can import."""


app = Celeriac("celeriac_side", changes=told().settings_with(Broadcast))
_journal = Journal(told().journal)
_untyped: Any = app  # its options have closer types than those that both sides share
declare(_untyped, Side("celeriac", _journal, CeleriacBoom, Reject, SoftTimeLimitExceeded))
flow_tasks.declare(_untyped, _journal.note, Words(app, chain, group, chord))


@signals.worker_ready.connect
def on_ready(**_: object) -> None:
    _journal.note(told().ready, "celeriac")
