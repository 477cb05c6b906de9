"""What the options before the command say, and the app they lead to. Every command gets it as `ctx.obj`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from celeriac.exceptions import NotSupported
from celeriac.loader import AppSpec, import_task_modules

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.brokers.base import Broker

T = TypeVar("T")


class CliContext(msgspec.Struct, frozen=True, kw_only=True):
    """The options before the command.

    Attributes:
        app: what `-A` names; None for an app of no name, enough to look at a broker.
        broker: overrides the setting `broker_url`.
        result_backend: overrides the setting of that name.
        config: module with settings.
        workdir: folder that was changed into.
        no_color: write no colours, and tables as plain columns.
        quiet: write results and errors only.
    """

    app: str | None = None
    broker: str | None = None
    result_backend: str | None = None
    config: str | None = None
    workdir: str | None = None
    no_color: bool = False
    quiet: bool = False

    def spec(self, settings: dict[str, Any] | None = None) -> AppSpec:
        """How this process and its executors load the app; `settings` come after all others."""
        given = {"broker_url": self.broker, "result_backend": self.result_backend}
        overrides = {name: value for name, value in given.items() if value is not None}
        return AppSpec(
            name=self.app or "",
            workdir=self.workdir or str(Path.cwd()),  # a module may change it while it is imported
            settings={**overrides, **(settings or {})},
            config=self.config,
        )

    def load_app(self) -> Celeriac:
        """The app with its tasks imported.

        Raises:
            AppNotFound: `-A` leads to no app, or a module with tasks can not be imported.
            ImproperlyConfigured: a setting is wrong.
        """
        app = self.spec().load()
        import_task_modules(app)
        return app

    @property
    def fancy(self) -> bool:
        """Standard output is a terminal where colours and tables are welcome."""
        return not self.no_color and sys.stdout.isatty()

    def say(self, text: str) -> None:
        """Tell something that is not the result, unless quiet."""
        if not self.quiet:
            click.echo(text)

    def remark(self, text: str) -> None:
        """Tell something on standard error, unless quiet."""
        if not self.quiet:
            click.echo(text, err=True)


def on_broker(app: Celeriac, call: Callable[[Broker], Awaitable[T]]) -> T:
    """Run `call` with the app's broker and close what it held open.

    Raises:
        NotSupported: the broker lives inside one process, so there is nothing to reach from here.
        OperationalError: the broker can not be used.
    """
    require_shared_broker(app)

    async def run() -> T:
        return await call(app.broker)

    try:
        return asyncio.run(run())
    finally:
        app.broker.disconnect()


def require_shared_broker(app: Celeriac) -> None:
    """Refuse a broker that no other process can reach.

    Raises:
        NotSupported: naming the broker.
    """
    if not app.broker.capabilities.between_processes:
        raise NotSupported(
            f"the broker {app.broker.address} lives inside one process; no command can reach it from outside. "
            "Use one that processes share, for example sqlite:///celeriac.sqlite3 (-b or broker_url)"
        )
