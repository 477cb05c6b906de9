"""Option and command classes that all commands share, and the types of their values."""

from __future__ import annotations

import math
import os
from datetime import datetime
from typing import Any, Final

import click
import msgspec

from celeriac.spelling import near_names

ENV_PREFIX: Final = "CELERIAC"
_OTHER_ENV_PREFIX: Final = "CELERY"
GLOBAL_OPTIONS: Final = frozenset(
    {"-A", "--app", "-b", "--broker", "--result-backend", "--config", "--workdir", "-C", "--no-color", "-q", "--quiet"}
)


class Option(click.Option):
    """An option that may also come from `CELERIAC_...` or, as in Celery, from `CELERY_...` in the environment."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        value = super().resolve_envvar_value(ctx)
        if value is not None or not ctx.auto_envvar_prefix or not self.allow_from_autoenv or not self.name:
            return value
        prefix = _OTHER_ENV_PREFIX + ctx.auto_envvar_prefix.removeprefix(ENV_PREFIX)
        return os.environ.get(f"{prefix}_{self.name.upper()}") or None


class Command(click.Command):
    """A command that says where an option belongs when it is one of those that come before the command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            if name not in GLOBAL_OPTIONS:
                raise
            raise click.UsageError(
                f"{name} belongs before the command: celeriac {name} ... {ctx.info_name} ...", ctx
            ) from error


class Group(click.Group):
    """A group of commands that names the near ones when a command is not there."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(self.describe_missing(ctx, name), ctx)
        return super().resolve_command(ctx, args)

    def describe_missing(self, ctx: click.Context, name: str) -> str:
        """What to tell somebody who asks for the command `name`, which is not there."""
        known = self.list_commands(ctx)
        near = near_names(name, known, count=2, cutoff=0.6)
        cure = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
        return f"no such command: {name}; {cure}"


class OptionType(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic in new versions of click only
    """Base of the types of option values."""


class CommaList(OptionType):
    """Names with commas between."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in str(value).split(",") if part.strip())
        if not names:
            self.fail(
                "an empty text names nothing: give names with commas between, or leave the option out", param, ctx
            )
        return names


class Name(OptionType):
    """Text that is not empty."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not text.strip():
            self.fail("an empty text names nothing: give a name, or leave the option out", param, ctx)
        return text


class Number(OptionType):
    """A finite number.

    Args:
        words: what may be written, for the error: `a number of seconds above 0`.
        kind: `int` or `float`.
        at_least: the smallest that is allowed.
        at_most: the largest that is allowed.
        above: it must be larger than this.
    """

    def __init__(
        self,
        words: str,
        kind: type[int | float] = float,
        *,
        at_least: float = -math.inf,
        at_most: float = math.inf,
        above: float = -math.inf,
    ) -> None:
        self.name = "number" if kind is int else "seconds"
        self._words = words
        self._kind = kind
        self._at_least = at_least
        self._at_most = at_most
        self._above = above

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        try:
            number = self._kind(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and self._at_least <= number <= self._at_most and number > self._above):
            self.fail(f"{str(value)!r} is not {self._words}", param, ctx)
        return number


class JsonValue(OptionType):
    """A JSON text of one kind.

    Args:
        kind: `list` or `dict`.
    """

    def __init__(self, kind: type[list[Any] | dict[str, Any]]) -> None:
        self.name = "json array" if kind is list else "json object"
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, self._kind):
            return value
        try:
            decoded = msgspec.json.decode(str(value))
        except msgspec.DecodeError as error:
            self.fail(f"{value!r} is no JSON: {error}", param, ctx)
        if not isinstance(decoded, self._kind):
            self.fail(f"{value!r} is no {self.name}, which is written {self._example()}", param, ctx)
        return decoded

    def _example(self) -> str:
        return "'[1, 2]'" if self._kind is list else "'{\"x\": 1}'"


class Moment(OptionType):
    """An ISO 8601 time; with `seconds` also a number of seconds from now."""

    name = "time"

    def __init__(self, *, seconds: bool = False) -> None:
        self._seconds = seconds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime | float:
        if isinstance(value, datetime | float):
            return value
        if self._seconds:
            try:
                number = float(value)
            except ValueError:
                pass  # then it is a time
            else:
                if math.isfinite(number):
                    return number
        try:
            return datetime.fromisoformat(str(value))
        except ValueError:
            other = ", or a number of seconds" if self._seconds else ""
            self.fail(f"{value!r} is no ISO 8601 time, such as 2030-01-31T12:00:00+00:00{other}", param, ctx)


COMMA_LIST: Final = CommaList()
NAME: Final = Name()
SECONDS_ABOVE_0: Final = Number("a number of seconds above 0", above=0)
AT_LEAST_1: Final = Number("a whole number of at least 1", int, at_least=1)
