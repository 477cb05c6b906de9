"""Exit codes, by Celery's numbers, and how an error becomes one or two lines and a code instead of a traceback."""

from __future__ import annotations

from typing import IO, Any, Final

import click

from celeriac.exceptions import CeleriacError, OperationalError

EX_OK: Final = 0
EX_FAILURE: Final = 1
#: Wrong options or a wrong `-A`. It is what Celery's commands have returned since they were built on click.
EX_USAGE: Final = 2
EX_UNAVAILABLE: Final = 69
EX_CANTCREAT: Final = 73


class CommandFailed(click.ClickException):
    """Ends the command with a text on standard error and an exit code.

    Args:
        message: shown after `Error: `, or as it is when it has several lines.
        exit_code: what the process returns.
    """

    def __init__(self, message: str, exit_code: int = EX_FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        head, newline, rest = self.message.partition("\n")
        prefix = "" if newline else "Error: "
        text = click.style(f"{prefix}{head}", fg="red") + newline + rest
        click.echo(text, file=file, err=file is None)


def as_failure(error: CeleriacError) -> CommandFailed:
    """The failure that tells a user about `error`."""
    from celeriac.loader import AppNotFound  # noqa: PLC0415 - start-up time: it imports the app

    code = EX_FAILURE
    if isinstance(error, AppNotFound):
        code = EX_USAGE
    elif isinstance(error, OperationalError):
        code = EX_UNAVAILABLE
    return CommandFailed(str(error) or type(error).__name__, code)
