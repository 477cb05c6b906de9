"""Option and command classes that all commands share, and the types of their values."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Final

import click
import msgspec

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


class OptionType(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic in new versions of click only
    """Base of the types of option values."""


class CommaList(OptionType):
    """Names with commas between."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        del param, ctx
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in str(value).split(",") if part.strip())


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
                return float(value)
            except ValueError:
                pass  # then it is a time
        try:
            return datetime.fromisoformat(str(value))
        except ValueError:
            other = ", or a number of seconds" if self._seconds else ""
            self.fail(f"{value!r} is no ISO 8601 time, such as 2030-01-31T12:00:00+00:00{other}", param, ctx)


COMMA_LIST: Final = CommaList()
