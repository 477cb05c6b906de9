"""What a worker is started with: the settings of its app, overridden by the command line."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec

from celeriac.entities import worker_direct
from celeriac.exceptions import ImproperlyConfigured
from celeriac.loader import AppSpec
from celeriac.topology import check_shared
from celeriac.worker.nodenames import default_nodename

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.app import Celeriac

PoolName = Literal["prefork", "threads", "asyncio", "solo"]

_POOL_ALIASES: Final[dict[str, PoolName]] = {
    "prefork": "prefork",
    "processes": "prefork",
    "threads": "threads",
    "asyncio": "asyncio",
    "solo": "solo",
}


def pool_name(name: str) -> PoolName:
    """Return the pool that `name` stands for.

    Raises:
        ImproperlyConfigured: there is no such pool.
    """
    try:
        return _POOL_ALIASES[name]
    except KeyError:
        known = ", ".join(_POOL_ALIASES)
        raise ImproperlyConfigured(f"unknown pool {name!r}: choose one of {known}") from None


def available_cpus() -> int:
    """CPUs this process may use: its affinity mask where the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one worker is to run.

    Attributes:
        hostname: node name, for example `celeriac@host`.
        queues: names of the queues to take from.
        pool: what runs sync tasks that name no executor themselves; coroutine tasks always run as coroutines.
        concurrency: attempts at a time in that pool.
        max_tasks_per_child: attempts after which an executor process is replaced.
        max_memory_per_child: resident KiB after which an executor process is replaced.
        time_limit: hard limit in seconds for tasks that have none of their own.
        soft_time_limit: soft limit in seconds, likewise.
        loglevel: a `logging` level.
        logfile: file to log to, or None for standard error.
        app_spec: how executor processes import the app. None is enough for `solo`.
    """

    hostname: str
    queues: tuple[str, ...]
    pool: PoolName
    concurrency: int
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    loglevel: int = logging.WARNING
    logfile: str | None = None
    app_spec: AppSpec | None = None

    @classmethod
    def from_app(cls, app: Celeriac, **overrides: Any) -> Self:
        """The options that the app's settings give; an override of None leaves the setting in force.

        Raises:
            ImproperlyConfigured: an unknown pool, or a concurrency below one.
            QueueNotFound: a queue is not in `task_queues`, and `task_create_missing_queues` is off.
            NotSupported: a queue that each worker has one of its own of, on a broker without exchanges.
        """
        conf = app.conf
        values: dict[str, Any] = {
            "hostname": default_nodename(),
            "queues": None,
            "pool": conf.worker_pool,
            "concurrency": conf.worker_concurrency,
            "max_tasks_per_child": conf.worker_max_tasks_per_child,
            "max_memory_per_child": conf.worker_max_memory_per_child,
            "time_limit": conf.task_time_limit,
            "soft_time_limit": conf.task_soft_time_limit,
        }
        values.update({name: value for name, value in overrides.items() if value is not None})
        values["pool"] = pool_name(values["pool"])
        values["queues"] = _queues(app, values["queues"], values["hostname"])
        values["concurrency"] = _concurrency(values["concurrency"], values["pool"], conf.worker_asyncio_concurrency)
        return cls(**values)


def _queues(app: Celeriac, wanted: Sequence[str] | None, hostname: str) -> tuple[str, ...]:
    """The names of the queues to take from, with the worker's own one."""
    topology = app.topology
    names = topology.select(wanted)
    if app.conf.worker_direct:
        own = topology.add(worker_direct(hostname)).name
        names = tuple(dict.fromkeys((*names, own)))
    if not app.broker.capabilities.exchanges:
        for name in names:
            check_shared(topology.queue(name))
    return names


def _concurrency(given: int | str | None, pool: PoolName, coroutines: int) -> int:
    if pool == "solo":
        return 1
    if given is None and pool == "asyncio":
        return coroutines
    if given is None or given == "auto":
        return available_cpus()
    count = int(given)
    if count < 1:
        raise ImproperlyConfigured(f"concurrency is {count}; a worker needs at least 1")
    return count
