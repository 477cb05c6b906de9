"""`celeriac worker`: the options, and what happens before the worker runs.

Owns logging, the pidfile and the banner of the process. What a worker does is `celeriac.worker`'s business.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import click
import msgspec

from celeriac.app import Celeriac
from celeriac.cli.context import CliContext, require_shared_broker
from celeriac.cli.exits import CanNotCreate
from celeriac.cli.options import AT_LEAST_1, COMMA_LIST, SECONDS_ABOVE_0, Command, Number, Option
from celeriac.cli.privileges import change_identity
from celeriac.cli.purge import counted, purge_queues
from celeriac.cli.queues import chosen_queues
from celeriac.cli.worker_banner import banner_facts
from celeriac.cli.worker_types import (
    Concurrency,
    LogLevel,
    NodeName,
    Pool,
    ignored,
    not_yet,
    parse_overrides,
)
from celeriac.config import warn_about_inactive
from celeriac.loader import AppSpec, import_task_modules
from celeriac.worker import Worker, WorkerOptions
from celeriac.worker.banner import banner_text
from celeriac.worker.logs import LogFileError, setup_logging
from celeriac.worker.nodenames import default_nodename, node_format
from celeriac.worker.pidfile import Pidfile, PidfileError

_PREFETCH: Final = Number("a whole number of at least 0", int, at_least=0)


class WorkerFlags(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the command as given; None leaves the setting in force."""

    hostname: str | None
    loglevel: int
    logfile: str | None
    pidfile: str | None
    uid: str | None
    gid: str | None
    umask: str | None
    pool: str | None
    concurrency: int | str | None
    max_tasks_per_child: int | None
    max_memory_per_child: int | None
    time_limit: float | None
    soft_time_limit: float | None
    prefetch_multiplier: int | None
    disable_prefetch: bool
    task_events: bool
    queues: tuple[str, ...] | None
    exclude_queues: tuple[str, ...] | None
    include: tuple[str, ...] | None
    purge: bool
    overrides: tuple[str, ...]


@click.command(cls=Command)
@click.option("-n", "--hostname", cls=Option, type=NodeName(), help="Node name; expands %h (host), %n and %d.")
@click.option("-l", "--loglevel", cls=Option, type=LogLevel(), default="WARNING", show_default=True)
@click.option("-f", "--logfile", cls=Option, metavar="PATH", help="Log there; expands %n %h %d %p %i %I.")
@click.option("--pidfile", cls=Option, metavar="PATH", help="Hold the process id there; expands %n %h %d %p.")
@click.option("-c", "--concurrency", cls=Option, type=Concurrency(), help="Tasks at a time; auto: one for each CPU.")
@click.option("-P", "--pool", cls=Option, type=Pool(), help="What runs tasks that name no executor.")
@click.option("-Q", "--queues", cls=Option, type=COMMA_LIST, help="Queues to take from, with commas between.")
@click.option("-X", "--exclude-queues", cls=Option, type=COMMA_LIST, help="Queues to leave alone.")
@click.option("-I", "--include", cls=Option, type=COMMA_LIST, help="More modules with tasks, with commas between.")
@click.option("--purge", "--discard", cls=Option, is_flag=True, help="First delete what waits in the queues.")
@click.option("--time-limit", cls=Option, type=SECONDS_ABOVE_0, help="Hard limit, in seconds.")
@click.option("--soft-time-limit", cls=Option, type=SECONDS_ABOVE_0, help="Likewise, soft.")
@click.option("--max-tasks-per-child", cls=Option, type=AT_LEAST_1, help="Tasks before a process is replaced.")
@click.option(
    "--max-memory-per-child",
    cls=Option,
    type=AT_LEAST_1,
    metavar="KIB",
    help="Resident memory at which a process is replaced after its task.",
)
@click.option("--prefetch-multiplier", cls=Option, type=_PREFETCH, help="Sets worker_prefetch_multiplier.")
@click.option("--disable-prefetch", cls=Option, is_flag=True, help="Sets worker_disable_prefetch.")
@click.option("-E", "--task-events", "--events", cls=Option, is_flag=True, help="Sets worker_send_task_events.")
@click.option("--uid", cls=Option, help="User to run as, by name or number.")
@click.option("--gid", cls=Option, help="Group to run as, by name or number.")
@click.option("--umask", cls=Option, help="Mask of the mode of new files, in octal.")
@click.option(
    "-O",
    "--optimization",
    cls=Option,
    type=click.Choice(("default", "fair")),
    expose_value=False,
    help="Accepted for Celery's sake: tasks always go to a free executor.",
)
@ignored("--without-gossip")
@ignored("--without-mingle")
@ignored("--without-heartbeat")
@ignored("--heartbeat-interval", is_flag=False)
@not_yet("-B", "--beat", is_flag=True, cure="it comes with the scheduler, in a later version")
@not_yet("-s", "--schedule", "--schedule-filename", is_flag=False, cure="it comes with the scheduler")
@not_yet("--scheduler", is_flag=False, cure="it comes with the scheduler, in a later version")
@not_yet("-S", "--statedb", is_flag=False, cure="it comes with revoke; nothing needs it before that")
@not_yet("--autoscale", is_flag=False, cure="choose a fixed number with --concurrency")
@not_yet("-D", "--detach", is_flag=True, cure="let systemd, supervisord or a container keep the worker running")
@click.argument("overrides", nargs=-1, metavar="[-- SETTING=VALUE]...")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Run a worker.

    \b
    celeriac -A proj worker -l info
    celeriac -A proj worker -Q mail,default -c 4
    celeriac -A proj worker -P asyncio -c 1000
    celeriac -A proj worker -- task_soft_time_limit=30
    """
    context = ctx.find_object(CliContext)
    if context is None or not context.app:
        raise click.UsageError("a worker needs an app: celeriac -A APP worker (or set CELERIAC_APP)")
    ctx.exit(run_worker(context, WorkerFlags(**given)))


def run_worker(context: CliContext, flags: WorkerFlags) -> int:
    """Prepare this process and run a worker in it until it is told to stop. Returns the exit code."""
    change_identity(flags.uid, flags.gid, flags.umask)
    app, spec = load_for_work(context, flags)
    hostname = flags.hostname or default_nodename()
    logfile = flags.logfile or app.conf.worker_logfile
    options = WorkerOptions.from_app(
        app,
        hostname=hostname,
        queues=chosen_queues(app, flags.queues, flags.exclude_queues),
        pool=flags.pool,
        concurrency=flags.concurrency,
        max_tasks_per_child=flags.max_tasks_per_child,
        max_memory_per_child=flags.max_memory_per_child,
        time_limit=flags.time_limit,
        soft_time_limit=flags.soft_time_limit,
        loglevel=flags.loglevel,
        logfile=logfile,
        app_spec=spec,
    )
    try:
        setup_logging(app, flags.loglevel, logfile, hostname=hostname)
    except LogFileError as error:
        raise CanNotCreate(str(error)) from error
    with held_pidfile(flags.pidfile or app.conf.worker_pidfile, hostname):
        if flags.purge:
            deleted = purge_queues(app, options.queues)
            context.say(f"Purged {counted(deleted, 'message')}.")
        facts = banner_facts(app, options)
        if not context.quiet:
            click.echo(f"\n{banner_text(facts, style=_style)}\n")
        warn_about_inactive(app.conf)
        return Worker(app, options).run()


def load_for_work(context: CliContext, flags: WorkerFlags) -> tuple[Celeriac, AppSpec]:
    """The app with its tasks imported, and how executors get the same one."""
    settings: dict[str, Any] = dict(parse_overrides(flags.overrides))
    if context.no_color:
        settings["worker_log_color"] = False
    if flags.prefetch_multiplier is not None:
        settings["worker_prefetch_multiplier"] = flags.prefetch_multiplier
    if flags.disable_prefetch:
        settings["worker_disable_prefetch"] = True
    if flags.task_events:
        settings["worker_send_task_events"] = True
    spec = context.spec(settings)
    app = spec.load()
    if flags.include:
        include = [*app.conf.include, *(name for name in flags.include if name not in app.conf.include)]
        app.conf.include = tuple(include)
        spec = msgspec.structs.replace(spec, settings={**spec.settings, "include": include})
    import_task_modules(app, included=flags.include or ())
    app.finalize()
    if flags.pool != "solo":
        require_shared_broker(app)
    return app, msgspec.structs.replace(spec, told=True)


@contextlib.contextmanager
def held_pidfile(path: str | None, hostname: str) -> Iterator[None]:
    """Hold the pidfile while the worker runs, if there is to be one."""
    if not path:
        yield
        return
    pidfile = Pidfile(node_format(path, hostname))
    try:
        pidfile.acquire()
    except PidfileError as error:
        raise CanNotCreate(str(error)) from error
    try:
        yield
    finally:
        pidfile.release()


def _style(text: str, colour: str) -> str:
    """Colours; `click.echo` takes them out again where nobody can see them."""
    return click.style(text, fg=colour)
