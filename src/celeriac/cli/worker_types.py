"""Types of the worker's options, and what is said of those that belong to a later version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from celeriac.cli.options import NAME, Option, OptionType
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.logs import level_number
from celeriac.worker.nodenames import default_nodename

F = TypeVar("F", bound=Callable[..., Any])

POOLS: Final = ("prefork", "processes", "threads", "asyncio", "solo")
_GREEN_POOLS: Final = frozenset({"gevent", "eventlet"})


class LogLevel(OptionType):
    """A level by name or number."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return level_number(value)
        except ImproperlyConfigured as error:
            self.fail(str(error), param, ctx)


class NodeName(OptionType):
    """A node name, with its abbreviations expanded."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return default_nodename(NAME.convert(value, param, ctx))
        except ImproperlyConfigured as error:
            self.fail(str(error), param, ctx)


class Concurrency(OptionType):
    """A number of at least one, or `auto`: as many as there are CPUs."""

    name = "n|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        text = str(value)
        if text == "auto":
            return text
        if not text.isdecimal() or int(text) == 0:
            self.fail(f"{text!r} is neither a number of at least 1 nor auto", param, ctx)
        return int(text)


class Pool(OptionType):
    """The name of a pool."""

    name = "|".join(POOLS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text in _GREEN_POOLS:
            self.fail(f"there is no {text} pool: asyncio and threads do its work", param, ctx)
        if text not in POOLS:
            self.fail(f"{text!r} is none of {', '.join(POOLS)}", param, ctx)
        return text


def not_yet(*names: str, is_flag: bool, cure: str) -> Callable[[F], F]:
    """An option of Celery's that this version refuses with a sentence instead of `no such option`."""

    def refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
        del param
        if value:
            raise click.UsageError(f"{' / '.join(names)} is not there yet: {cure}", ctx)

    return click.option(*names, cls=click.Option, is_flag=is_flag, hidden=True, expose_value=False, callback=refuse)


def ignored(*names: str, is_flag: bool = True) -> Callable[[F], F]:
    """An option of Celery's that means nothing here; accepted so that command lines can stay as they are."""
    text = "Accepted for Celery's sake; without effect."
    return click.option(*names, cls=Option, is_flag=is_flag, expose_value=False, help=text)


def parse_overrides(texts: tuple[str, ...]) -> dict[str, str]:
    """`name=value` each, as they follow `--`. The settings themselves read the text.

    Raises:
        click.UsageError: one of them has no name or no `=`.

    Example:
        >>> parse_overrides(("worker_prefetch_multiplier=1",))
        {'worker_prefetch_multiplier': '1'}
    """
    settings: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"{text!r} is no setting: write -- NAME=VALUE, for example -- task_time_limit=60")
        settings[name] = value
    return settings
