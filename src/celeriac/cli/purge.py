"""`celeriac purge`: delete what waits in queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from celeriac.cli.context import CliContext, on_broker
from celeriac.cli.options import COMMA_LIST, Command, Option
from celeriac.cli.queues import chosen_queues

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.app import Celeriac
    from celeriac.brokers.base import Broker


@click.command(cls=Command)
@click.option("-f", "--force", cls=Option, is_flag=True, help="Do not ask.")
@click.option("-Q", "--queues", cls=Option, type=COMMA_LIST, help="Queues to purge, with commas between.")
@click.option("-X", "--exclude-queues", cls=Option, type=COMMA_LIST, help="Queues to leave alone.")
@click.pass_obj
def command(
    context: CliContext, force: bool, queues: tuple[str, ...] | None, exclude_queues: tuple[str, ...] | None
) -> None:
    """Delete all messages from all known queues. There is no way back.

    Tasks that a worker runs or holds are left alone, and so are dead letters.
    """
    app = context.load_app()
    names = chosen_queues(app, queues, exclude_queues)
    if not force:
        click.echo(f"This deletes all waiting tasks of {counted(len(names), 'queue')}: {', '.join(names)}.")
        click.confirm("There is no way back. Go on?", abort=True)
    deleted = purge_queues(app, names)
    click.echo(f"Purged {counted(deleted, 'message')} from {counted(len(names), 'queue')}.")


def purge_queues(app: Celeriac, names: Sequence[str]) -> int:
    """Delete what waits in these queues. Returns how many messages that were."""

    async def purge(broker: Broker) -> int:
        return sum([await broker.purge(name) for name in names])

    return on_broker(app, purge)


def counted(number: int, noun: str) -> str:
    """`1 queue`, `2 queues`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
