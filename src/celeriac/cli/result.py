"""`celeriac result`: wait for one result and print it."""

from __future__ import annotations

import click

from celeriac import states
from celeriac.cli.context import CliContext
from celeriac.cli.exits import CommandFailed, WronglyUsed
from celeriac.cli.options import Command, Option
from celeriac.exceptions import NotRegistered
from celeriac.exceptions import TimeoutError as ResultTimeout


@click.command(cls=Command)
@click.argument("task_id")
@click.option("-t", "--task", "task_name", cls=Option, help="Name of the task, if it has a result backend of its own.")
@click.option("--traceback", cls=Option, is_flag=True, help="Print the traceback instead of the value.")
@click.option(
    "--timeout",
    cls=Option,
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for it.",
)
@click.pass_obj
def command(context: CliContext, task_id: str, task_name: str | None, traceback: bool, timeout: float) -> None:
    """Print what the task TASK_ID returned.

    Ends with 1 when the task failed (the error goes to standard error) or when there is no result in time.
    """
    app = context.load_app()
    try:
        result = app.AsyncResult(task_id) if task_name is None else app.tasks[task_name].AsyncResult(task_id)
        try:
            value = result.get(timeout=timeout, propagate=False)
        except ResultTimeout as error:
            raise CommandFailed(_not_yet(task_id, result.state, timeout)) from error
        if traceback:
            click.echo((result.traceback or "").rstrip("\n"))
            return
        if result.state in states.PROPAGATE_STATES:
            raise CommandFailed(f"{result.state}: {type(value).__name__}: {value}")
        click.echo(value if isinstance(value, str) else repr(value))
    except NotRegistered as error:
        raise WronglyUsed(str(error)) from error
    finally:
        app.close()


def _not_yet(task_id: str, state: str, timeout: float) -> str:
    if state == states.PENDING:
        return (
            f"no result of {task_id} after {timeout:g} s: it has not been run, nobody knows the id, "
            "or its result was not kept (ignore_result, result_expires)"
        )
    return f"{task_id} is {state} after {timeout:g} s: wait longer with --timeout"
