"""Gathers what the worker's banner tells from the app and the options."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Final

from celeriac.cli.purge import counted
from celeriac.config import inactive_settings
from celeriac.config.notices import listed
from celeriac.version import __version__
from celeriac.worker.banner import BannerFacts
from celeriac.worker.nodenames import node_format

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.worker import WorkerOptions

_PICKLE: Final = frozenset({"pickle", "application/x-python-serialize"})
#: The kind of executor that each pool provides.
_KIND_OF_POOL: Final = {"prefork": "process", "threads": "thread", "asyncio": "asyncio"}


def banner_facts(app: Celeriac, options: WorkerOptions) -> BannerFacts:
    """What to tell of this worker."""
    return BannerFacts(
        hostname=options.hostname,
        pid=os.getpid(),
        version=__version__,
        platform=f"{platform.system()} {platform.release()} {platform.machine()}, "
        f"{platform.python_implementation()} {platform.python_version()}",
        app=_app_line(app, options),
        broker=app.broker.address,
        results=app.backend.address,
        executors=_executor_lines(app, options),
        queues=options.queues,
        tasks=tuple(task.name for task in app.user_tasks()),
        loglevel=options.loglevel,
        logfile=node_format(options.logfile, options.hostname) if options.logfile else None,
        inactive=tuple(listed([f"{row.name} ({row.availability})" for row in inactive_settings(app.conf)])),
        risky_pickle=_is_root() and not _PICKLE.isdisjoint(app.conf.accept_content),
    )


def _app_line(app: Celeriac, options: WorkerOptions) -> str:
    name = app.main or "without a name"
    asked = options.app_spec.name if options.app_spec is not None else ""
    return f"{name} (-A {asked})" if asked and asked != name else name


def _executor_lines(app: Celeriac, options: WorkerOptions) -> tuple[str, ...]:
    main = _KIND_OF_POOL.get(options.pool)
    if main is None:
        return ("one task at a time, in the worker itself",)
    tasks = app.user_tasks()
    lines = [_main_line(main, options.concurrency)]
    kinds = {kind for task in tasks if (kind := task.executor_kind(app)) is not None}
    if "process" in kinds and main != "process":
        lines.append("processes for tasks with executor='process'")
    plain = main == "asyncio" and any(task.executor_kind(app) is None for task in tasks)
    if ("thread" in kinds and main != "thread") or plain:
        which = "def tasks" if plain else "tasks with executor='thread'"
        lines.append(f"{counted(app.conf.worker_thread_concurrency, 'thread')} for {which}")
    if "asyncio" in kinds and main != "asyncio":
        lines.append(f"{counted(app.conf.worker_asyncio_concurrency, 'coroutine')} at a time for async def tasks")
    return tuple(lines)


def _main_line(kind: str, concurrency: int) -> str:
    if kind == "process":
        return "1 process" if concurrency == 1 else f"{concurrency} processes"
    return f"{counted(concurrency, 'coroutine')} at a time" if kind == "asyncio" else counted(concurrency, "thread")


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
