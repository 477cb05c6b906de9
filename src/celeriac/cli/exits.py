"""Exit codes, by Celery's numbers, and how an error becomes one or two lines and a code instead of a traceback."""

from __future__ import annotations

from typing import IO, Any, Final

import click

from celeriac.exceptions import CeleriacError, ImproperlyConfigured, OperationalError, QueueNotFound

EX_OK: Final = 0
EX_FAILURE: Final = 1
#: Wrong options or a wrong `-A`. It is what Celery's commands have returned since they were built on click.
EX_USAGE: Final = 2
EX_UNAVAILABLE: Final = 69
EX_CANTCREAT: Final = 73


class CommandFailed(click.ClickException):
    """Ends the command with a text on standard error and exit code 1; subclasses have other codes.

    Args:
        message: shown after `Error: `, or as it is when it has several lines.
    """

    exit_code = EX_FAILURE

    def show(self, file: IO[Any] | None = None) -> None:
        head, newline, rest = self.message.partition("\n")
        prefix = "" if newline else "Error: "
        text = click.style(f"{prefix}{head}", fg="red") + newline + rest
        click.echo(text, file=file, err=file is None)


class WronglyUsed(CommandFailed):
    """What was asked for is not there, or a setting is wrong."""

    exit_code = EX_USAGE


class Unavailable(CommandFailed):
    """The broker or the result store can not be used."""

    exit_code = EX_UNAVAILABLE


class CanNotCreate(CommandFailed):
    """A file can not be made."""

    exit_code = EX_CANTCREAT


def as_failure(error: CeleriacError) -> CommandFailed:
    """The failure that tells a user about `error`."""
    text = str(error) or type(error).__name__
    if isinstance(error, ImproperlyConfigured | QueueNotFound):  # AppNotFound among them
        return WronglyUsed(text)
    return Unavailable(text) if isinstance(error, OperationalError) else CommandFailed(text)
