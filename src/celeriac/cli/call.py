"""`celeriac call`: send one task and print its id."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import click

from celeriac.cli.context import CliContext, require_shared_broker
from celeriac.cli.options import NAME, Command, JsonValue, Moment, Number, Option
from celeriac.spelling import near_names

_SECONDS: Final = Number("a number of seconds")
_PRIORITY: Final = Number("a whole number from 0 to 9", int, at_least=0, at_most=9)


@click.command(cls=Command)
@click.argument("name")
@click.option("-a", "--args", "positional", cls=Option, type=JsonValue(list), help="Positional arguments, as JSON.")
@click.option("-k", "--kwargs", "named", cls=Option, type=JsonValue(dict), help="Keyword arguments, as JSON.")
@click.option("--eta", cls=Option, type=Moment(), help="Not before this time (ISO 8601).")
@click.option("--countdown", cls=Option, type=_SECONDS, help="Not before this many seconds from now.")
@click.option("--expires", cls=Option, type=Moment(seconds=True), help="Not after this time, or seconds from now.")
@click.option("--queue", cls=Option, type=NAME, help="Queue to put it into.")
@click.option("--exchange", cls=Option, type=NAME, help="Exchange to send it to.")
@click.option("--routing-key", cls=Option, type=NAME, help="The key by which the exchange finds queues.")
@click.option("--serializer", cls=Option, type=NAME, help="json (the default), msgpack, yaml or pickle.")
@click.option("--priority", cls=Option, type=_PRIORITY, help="0 is taken first.")
@click.pass_obj
def command(
    context: CliContext,
    /,
    *,
    name: str,
    positional: list[Any] | None,
    named: dict[str, Any] | None,
    countdown: float | None,
    eta: datetime | None,
    **options: Any,
) -> None:
    """Send the task NAME and print the id of its result.

    A task of the app is sent with its own options, after a look at its arguments; any other name is sent as it is, with
    a remark on standard error.

    \b
    celeriac -A proj call proj.add -a '[2, 2]'
    celeriac -A proj call proj.add -k '{"x": 2, "y": 2}' --countdown 10
    """
    if eta is not None and countdown is not None:
        raise click.UsageError("--eta and --countdown say the same thing: give one of them")
    given = {key: value for key, value in options.items() if value is not None}
    given |= {key: value for key, value in (("eta", eta), ("countdown", countdown)) if value is not None}
    app = context.load_app()
    require_shared_broker(app)
    try:
        task = app.tasks.get(name)
        if task is None:
            if context.app:
                context.remark(unknown_task(name, [known.name for known in app.user_tasks()]))
            result = app.send_task(name, positional or [], named or {}, **given)
        else:
            result = task.apply_async(positional or [], named or {}, **given)
    except (TypeError, ValueError) as error:  # what a Python call with these arguments and options would raise
        raise click.UsageError(str(error)) from error
    finally:
        app.close()
    click.echo(result.id)


def unknown_task(name: str, known: Sequence[str]) -> str:
    """What to tell of a name that is none of the app's tasks.

    Example:
        >>> unknown_task("tasks.ad", ["tasks.add"])
        "tasks.ad is none of the app's tasks (did you mean tasks.add?); sent as it is"
    """
    near = near_names(name, known, count=2, cutoff=0.6)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    return f"{name} is none of the app's tasks{hint}; sent as it is"
