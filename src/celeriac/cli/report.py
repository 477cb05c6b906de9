"""`celeriac report`: what a bug report should tell, without secrets."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Final

import click

from celeriac.cli.options import Command, Option
from celeriac.config import setting_table
from celeriac.version import __version__

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.cli.context import CliContext

#: What can make a difference, beside this package.
_PACKAGES: Final = (
    "msgspec",
    "click",
    "rich",
    "redis",
    "hiredis",
    "pydantic",
    "PyYAML",
    "zstandard",
    "brotli",
)


@click.command(cls=Command)
@click.option("--settings", cls=Option, is_flag=True, help="Print all settings there are instead, with their values.")
@click.pass_obj
def command(context: CliContext, settings: bool) -> None:
    """Print versions, platform and settings for a bug report. Passwords and keys are left out."""
    app = context.load_app()
    click.echo(app.conf.humanize(with_defaults=True) if settings else report_text(app))


def report_text(app: Celeriac) -> str:
    """The report about `app`, in Celery's order of things."""
    software = " ".join(f"{name}:{version}" for name in _PACKAGES if (version := _installed_version(name)) is not None)
    head = {
        "software": f"celeriac:{__version__} py:{platform.python_version()}",
        "": software,
        "platform": f"system:{platform.system()} release:{platform.release()} arch:{platform.machine()} "
        f"imp:{platform.python_implementation()}",
        "app": str(app.main),
        "broker": app.broker.address,
        "results": app.backend.address,
        "tasks": str(len(app.user_tasks())),
    }
    lines = [f"{label:<8} {'->' if label else '  '} {value}" for label, value in head.items()]
    lines += ["", "settings that differ from their defaults:"]
    lines.append(app.conf.humanize() or "none")
    idle = [row for row in setting_table() if not row.is_active and app.conf.value_set_for(row.name)]
    if idle:
        lines += ["", "set, without effect in this version:", *(f"{row.name} ({row.availability})" for row in idle)]
    return "\n".join(lines)


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
