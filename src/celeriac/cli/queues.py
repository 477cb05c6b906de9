"""Which queues a command is about: those named, else those that the settings know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.app import Celeriac


def chosen_queues(app: Celeriac, named: Sequence[str] | None, excluded: Sequence[str] | None) -> tuple[str, ...]:
    """The queues of `-Q`, or all known ones, without those of `-X`.

    Raises:
        click.UsageError: none is left.
        QueueNotFound: one is not in `task_queues`, and `task_create_missing_queues` is off.
    """
    left = app.topology.select(named, excluded)
    if not left:
        names = app.topology.select(named)
        raise click.UsageError(f"no queue is left: {', '.join(names)} without {', '.join(excluded or ())}")
    return left
