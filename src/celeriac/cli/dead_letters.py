"""`celeriac dead-letters`: look at what could not be run, send it again, or delete it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from celeriac.cli.context import CliContext, on_broker
from celeriac.cli.exits import CommandFailed
from celeriac.cli.options import AT_LEAST_1, NAME, Command, Group, Option
from celeriac.cli.purge import counted
from celeriac.cli.tables import show_table
from celeriac.exceptions import NotSupported

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.brokers.base import Broker
    from celeriac.message import DeadLetter

_PAGE: Final = 500


@click.group(cls=Group)
def command() -> None:
    """Look at what could not be run, send it again, or delete it."""


@command.command("list", cls=Command)
@click.option("-Q", "--queue", cls=Option, type=NAME, help="Those of this queue only.")
@click.option("-n", "--limit", cls=Option, type=AT_LEAST_1, default=20, show_default=True)
@click.option("--json", "as_json", cls=Option, is_flag=True, help="One JSON object a line, with the whole history.")
@click.pass_obj
def list_letters(context: CliContext, queue: str | None, limit: int, as_json: bool) -> None:
    """Show dead letters, the newest first."""
    app = _app_with_letters(context)
    letters = on_broker(app, lambda broker: broker.dead_letters(queue, limit=limit))
    if as_json:
        for letter in letters:
            click.echo(msgspec.json.encode(_as_dict(letter)).decode())
    elif letters:
        columns = ("Tag", "Queue", "Task", "Id", "Died", "Losses", "Reason")
        show_table(columns, [_as_row(letter) for letter in letters], fancy=context.fancy)
    else:
        context.say("No dead letters.")


@command.command("requeue", cls=Command)
@click.argument("tags", nargs=-1, metavar="[TAG]...")
@click.option("--all", "everything", cls=Option, is_flag=True, help="All of them, or all of the queue given with -Q.")
@click.option("-Q", "--queue", cls=Option, type=NAME, help="With --all: those of this queue only.")
@click.pass_obj
def requeue(context: CliContext, tags: tuple[str, ...], everything: bool, queue: str | None) -> None:
    """Put dead letters back into their queues, with an empty history. The tags are those that `list` shows."""
    if bool(tags) == everything:
        raise click.UsageError("name the tags that `celeriac dead-letters list` shows, or say --all")
    app = _app_with_letters(context)
    if everything:
        done = on_broker(app, lambda broker: _requeue_all(broker, queue))
    else:
        wanted = [int(tag) if tag.isdecimal() else tag for tag in tags]
        done = on_broker(app, lambda broker: broker.requeue_dead_letters(wanted))
    click.echo(f"Requeued {counted(done, 'message')}.")
    if done < len(tags):
        missing = len(tags) - done
        which = f"{missing} of {counted(len(tags), 'tag')}" if len(tags) > 1 else f"the tag {' '.join(tags)}"
        raise CommandFailed(f"{which} {'is' if missing == 1 else 'are'} not among the dead letters")


@command.command("purge", cls=Command)
@click.option("-Q", "--queue", cls=Option, type=NAME, help="Those of this queue only.")
@click.option("-f", "--force", cls=Option, is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(context: CliContext, queue: str | None, force: bool) -> None:
    """Delete dead letters. There is no way back."""
    app = _app_with_letters(context)
    if not force:
        which = f"of the queue {queue}" if queue else "of all queues"
        click.confirm(f"This deletes the dead letters {which}. There is no way back. Go on?", abort=True)
    deleted = on_broker(app, lambda broker: broker.purge_dead_letters(queue))
    click.echo(f"Deleted {counted(deleted, 'dead letter')}.")


def _app_with_letters(context: CliContext) -> Celeriac:
    app = context.load_app()
    if not app.broker.capabilities.browse_dead_letters:
        raise NotSupported(f"the broker {app.broker.address} can not show its dead letters; use its own tools")
    return app


async def _requeue_all(broker: Broker, queue: str | None) -> int:
    """In pages. What dies again in the meantime is left where it is: it has a time after this call's start."""
    done = 0
    start = datetime.now(UTC).timestamp()
    while True:
        letters = await broker.dead_letters(queue, limit=_PAGE)
        tags = [letter.tag for letter in letters if letter.at <= start]
        moved = await broker.requeue_dead_letters(tags) if tags else 0
        done += moved
        if not moved:
            return done


def _as_row(letter: DeadLetter) -> tuple[str, ...]:
    headers = letter.message.headers
    died = datetime.fromtimestamp(letter.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    task, task_id = str(headers.get("task", "?")), str(headers.get("id", "?"))
    return (str(letter.tag), letter.queue, task, task_id, died, str(len(letter.history)), letter.reason)


def _as_dict(letter: DeadLetter) -> dict[str, Any]:
    headers = letter.message.headers
    return {
        "tag": letter.tag,
        "queue": letter.queue,
        "task": headers.get("task"),
        "id": headers.get("id"),
        "args": headers.get("argsrepr"),
        "kwargs": headers.get("kwargsrepr"),
        "at": datetime.fromtimestamp(letter.at, UTC).isoformat(),
        "priority": letter.priority,
        "reason": letter.reason,
        "history": [
            {"at": datetime.fromtimestamp(loss.at, UTC).isoformat(), "worker": loss.worker, "reason": loss.reason}
            for loss in letter.history
        ],
    }
