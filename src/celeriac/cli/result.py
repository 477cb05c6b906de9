"""`celeriac result`: wait for one result and print it, or show what came of a task."""

from __future__ import annotations

from collections.abc import Iterator

import click

from celeriac import states
from celeriac.cli.context import CliContext
from celeriac.cli.exits import EX_FAILURE, CommandFailed
from celeriac.cli.options import Command, Number, Option
from celeriac.exceptions import TimeoutError as ResultTimeout
from celeriac.result import AnyResult, AsyncResult


@click.command(cls=Command)
@click.argument("task_id")
@click.option("--traceback", cls=Option, is_flag=True, help="Print the traceback of a task that failed.")
@click.option(
    "--tree",
    cls=Option,
    is_flag=True,
    help="Print the states of the task and of all that it sent, as they are now. Waits for nothing.",
)
@click.option(
    "--timeout",
    cls=Option,
    type=Number("a number of seconds of at least 0", at_least=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for it.",
)
@click.pass_obj
def command(context: CliContext, task_id: str, traceback: bool, tree: bool, timeout: float) -> None:
    """Print what the task TASK_ID returned.

    Ends with 1 when the task failed (the error goes to standard error) or when there is no result in time.
    """
    app = context.load_app()
    try:
        result = app.AsyncResult(task_id)
        if tree:
            for line in _tree(result):
                click.echo(line)
            return
        try:
            value = result.get(timeout=timeout, propagate=False)
        except ResultTimeout as error:
            raise CommandFailed(_not_yet(task_id, result.state, timeout)) from error
        if result.state in states.PROPAGATE_STATES:
            if traceback and result.traceback:
                click.echo(result.traceback.rstrip("\n"))
                raise click.exceptions.Exit(EX_FAILURE)
            raise CommandFailed(f"{result.state}: {type(value).__name__}: {value}")
        click.echo(value if isinstance(value, str) else repr(value))
    finally:
        app.close()


def _not_yet(task_id: str, state: str, timeout: float) -> str:
    if state == states.PENDING:
        return (
            f"no result of {task_id} after {timeout:g} s: it has not been run, nobody knows the id, "
            "or its result was not kept (ignore_result, result_expires)"
        )
    return f"{task_id} is {state} after {timeout:g} s: wait longer with --timeout"


def _tree(root: AnyResult) -> Iterator[str]:
    """One line for each result, below the one that it came of."""
    unfinished: list[tuple[AnyResult, int]] = [(root, 0)]
    seen: set[str] = set()  # what a task tells of its children is data: it may lead in a circle
    while unfinished:
        node, depth = unfinished.pop()
        yield "  " * depth + _line(node)
        if node.id not in seen:
            seen.add(node.id)
            unfinished += [(child, depth + 1) for child in reversed(node.children or [])]


def _line(node: AnyResult) -> str:
    if isinstance(node, AsyncResult):
        return f"{node.name}[{node.id}] {node.state}" if node.name else f"{node.id} {node.state}"
    return f"group {node.id}: {node.completed_count()} of {len(node)} succeeded"
