"""`celeriac call`: send one task and print its id."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from celeriac.cli.context import CliContext, require_shared_broker
from celeriac.cli.options import Command, JsonValue, Moment, Option


@click.command(cls=Command)
@click.argument("name")
@click.option("-a", "--args", "positional", cls=Option, type=JsonValue(list), help="Positional arguments, as JSON.")
@click.option("-k", "--kwargs", "named", cls=Option, type=JsonValue(dict), help="Keyword arguments, as JSON.")
@click.option("--eta", cls=Option, type=Moment(), help="Not before this time (ISO 8601).")
@click.option("--countdown", cls=Option, type=float, help="Not before this many seconds from now.")
@click.option("--expires", cls=Option, type=Moment(seconds=True), help="Not after this time, or seconds from now.")
@click.option("--queue", cls=Option, help="Queue to put it into.")
@click.option("--serializer", cls=Option, help="json (the default), msgpack, yaml or pickle.")
@click.option("--priority", cls=Option, type=click.IntRange(0, 9), help="0 is taken first.")
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

    A task of the app is sent with its own options, after a look at its arguments; any other name is sent as it is.

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
            result = app.send_task(name, positional or [], named or {}, **given)
        else:
            result = task.apply_async(positional or [], named or {}, **given)
    except TypeError as error:  # what a Python call with these arguments would raise
        raise click.UsageError(str(error)) from error
    finally:
        app.close()
    click.echo(result.id)
