"""Which queues a command is about: those named, else those that the settings know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.app import Celeriac


def known_queues(app: Celeriac) -> tuple[str, ...]:
    """Names of the queues in `task_queues`, or the default queue where there are none."""
    return tuple(app.conf.task_queues or ()) or (app.conf.task_default_queue,)


def chosen_queues(app: Celeriac, named: Sequence[str] | None, excluded: Sequence[str] | None) -> tuple[str, ...]:
    """The queues of `-Q`, or all known ones, without those of `-X`.

    Raises:
        click.UsageError: none is left.
    """
    names = tuple(dict.fromkeys(named)) if named else known_queues(app)
    left = tuple(name for name in names if name not in (excluded or ()))
    if not left:
        raise click.UsageError(f"no queue is left: {', '.join(names)} without {', '.join(excluded or ())}")
    return left
