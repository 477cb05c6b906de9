"""What must be made anew in a forked child: locks that another thread held, threads that are not there.

Connections of SQLite have hooks of their own (`celeriac.storage.sqlite.database`), since they must be closed before.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """An object that a forked child can not use as it is."""

    def after_fork_in_child(self) -> None:
        """Become as new. Called in the child before anything else, while it has one thread."""
        ...


def renew_in_children(thing: ForkAware) -> None:
    """Have `thing` made anew in each child that this process forks while `thing` exists."""
    _aware.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_aware):
        thing.after_fork_in_child()


_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
