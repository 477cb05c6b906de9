"""The command `celeriac`: the options before the command, and finding the command's file.

Owns nothing of what the commands do. Anything heavy is imported by the command that needs it: `celeriac --version` and
shell completion pay for none of it.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Final

import click

from celeriac.cli.exits import as_failure
from celeriac.cli.options import ENV_PREFIX, Group, Option
from celeriac.exceptions import CeleriacError
from celeriac.version import __version__

#: Command -> the module that has it as `command`.
_COMMANDS: Final = {
    "call": "celeriac.cli.call",
    "chord": "celeriac.cli.chord",
    "dead-letters": "celeriac.cli.dead_letters",
    "purge": "celeriac.cli.purge",
    "report": "celeriac.cli.report",
    "result": "celeriac.cli.result",
    "worker": "celeriac.cli.worker",
}

_REMOTE_CONTROL: Final = "it comes with remote control, in a later version"
_EVENTS: Final = "it comes with events, in a later version"

#: Celery's other commands, each with when it comes or what to do without it.
_NOT_YET: Final = {
    "amqp": "it comes with the RabbitMQ broker, in a later version",
    "beat": "it comes with the scheduler, in a later version",
    "control": _REMOTE_CONTROL,
    "events": _EVENTS,
    "graph": "it may come with a later version",
    "inspect": _REMOTE_CONTROL,
    "list": "it comes with the RabbitMQ broker, in a later version",
    "logtool": "it may come with a later version; read the log with your own tools",
    "migrate": "it comes with the Redis and RabbitMQ brokers, in a later version",
    "multi": "it may come with a later version; let systemd, supervisord or a container keep several workers running",
    "shell": "it may come with a later version; start python and import your app",
    "status": _REMOTE_CONTROL,
    "upgrade": "it may come with a later version; a worker lists the old names of settings when it starts",
}


class LazyGroup(Group):
    """Imports a command when it is asked for, and turns the library's own errors into a line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = importlib.import_module(module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.command is no click command")
        return command

    def describe_missing(self, ctx: click.Context, name: str) -> str:
        if name in _NOT_YET:
            return f"{name} is not there yet: {_NOT_YET[name]}"
        return super().describe_missing(ctx, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CeleriacError as error:
            raise as_failure(error) from error


@click.group(
    cls=LazyGroup,
    context_settings={"auto_envvar_prefix": ENV_PREFIX, "help_option_names": ["-h", "--help"]},
    epilog="celeriac COMMAND --help tells more of a command. Options can also come from the environment: "
    "CELERIAC_APP, CELERIAC_BROKER, CELERIAC_WORKER_CONCURRENCY, and the same with CELERY_.",
)
@click.option("-A", "--app", cls=Option, metavar="APP", help="The app: a module, a package, or module:object.")
@click.option("-b", "--broker", cls=Option, metavar="URL", help="Overrides the setting broker_url.")
@click.option("--result-backend", cls=Option, metavar="URL", help="Overrides the setting of that name.")
@click.option("--config", cls=Option, metavar="MODULE", help="Module with settings that override the app's own.")
@click.option(
    "--workdir",
    cls=Option,
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False),
    help="Change into this folder first.",
)
@click.option("-C", "--no-color", cls=Option, is_flag=True, help="No colours (also by NO_COLOR).")
@click.option("-q", "--quiet", cls=Option, is_flag=True, help="No banner and no remarks.")
@click.version_option(__version__, prog_name="celeriac", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, /, workdir: str | None, no_color: bool, **options: Any) -> None:
    """Celeriac, a distributed task queue."""
    from celeriac.cli.context import CliContext  # noqa: PLC0415 - start-up time: it imports the app

    if workdir:
        workdir = str(Path(workdir).absolute())
        os.chdir(workdir)
    no_color = no_color or bool(os.environ.get("NO_COLOR"))  # https://no-color.org: any text counts
    if no_color:
        ctx.color = False
    ctx.obj = CliContext(workdir=workdir, no_color=no_color, **options)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    cli(prog_name="celeriac")
