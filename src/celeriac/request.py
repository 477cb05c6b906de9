"""The request: what a running task knows about its own call, and which one runs here right now.

Owns the fields (Celery's names) and the context variable, which is right for threads and for coroutines. Knows
nothing of how a request comes about (`celeriac.attempt`) nor of how tasks are sent.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from celeriac.current import Current
from celeriac.serialization.unread import Unread, UnreadList

if TYPE_CHECKING:
    from celeriac.consequences import Consequences
    from celeriac.group_result import GroupResult
    from celeriac.result import AsyncResult
    from celeriac.retries import RetryPlan
    from celeriac.task import Task


#: Properties that count as fields.
_AS_FIELDS: Final = frozenset({"chain", "chord"})


class Request(msgspec.Struct, kw_only=True):
    """One call of a task as the task sees it: `self.request`.

    Attributes:
        id: the task's id; None when it was called as a plain function.
        task: the task's name.
        args: positional arguments.
        kwargs: keyword arguments.
        argsrepr: the positional arguments as logs show them.
        kwargsrepr: the keyword arguments as logs show them.
        root_id: the first task of the tree this one belongs to.
        parent_id: the task that sent this one.
        group: id of its group.
        group_index: place in its group.
        sent_chord: `chord`, perhaps not read yet.
        sent_chain: `chain`, likewise.
        retries: how often it was retried; 0 at first.
        is_eager: run by `apply()`, not by a worker.
        eta: ISO text as it was sent.
        expires: ISO text as it was sent.
        callbacks: signatures to send when it succeeds.
        errbacks: signatures to call when it fails.
        delivery_info: `exchange`, `routing_key` (the queue), `priority`, `redelivered`.
        reply_to: where `rpc://` results go.
        correlation_id: the id again.
        origin: process and host that sent it.
        hostname: the worker that runs it.
        logfile: that worker's log file.
        loglevel: that worker's log level, a number of `logging`.
        utc: always true: times are in UTC or say their timezone.
        lang: the language of the code that sent it, `py`.
        shadow: the name that logs show instead of the task's.
        timelimit: hard and soft limit in seconds, as they were sent.
        headers: headers that are not Celery's own; each can also be read as an attribute.
        properties: the message's properties.
        called_directly: the task was called as a function.
        ignore_result: whether the result is dropped; None outside a run.
        replaced_task_nesting: how often a task was replaced by another one to come to this.
        stamped_headers: names of the headers that stamps are.
        stamps: those headers.
        children: results of the tasks that it sent.
        running: the task that runs; None in an empty request.
        entered: the attempt has called the task, so that a call of the same task from inside is a direct one.
        pending_retry: the last retry that was asked for.
        caused: what the run itself has to be written with its outcome.
        added: how often it has added each signature to its chord.
        outer: the request that `push_request` covers.
    """

    id: str | None = None
    task: str | None = None
    args: list[Any] | tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    group_index: int | None = None
    sent_chord: dict[str, Any] | Unread | None = None
    sent_chain: list[dict[str, Any]] | UnreadList | None = None
    retries: int = 0
    is_eager: bool = False
    eta: str | None = None
    expires: str | None = None
    callbacks: list[dict[str, Any]] | None = None
    errbacks: list[dict[str, Any]] | None = None
    delivery_info: dict[str, Any] | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    origin: str | None = None
    hostname: str | None = None
    logfile: str | None = None
    loglevel: int | None = None
    utc: bool = True
    lang: str | None = None
    shadow: str | None = None
    headers: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    timelimit: list[float | None] | tuple[float | None, ...] | None = None
    called_directly: bool = True
    ignore_result: bool | None = None
    replaced_task_nesting: int = 0
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    children: list[AsyncResult[Any] | GroupResult] = []  # msgspec makes a new list for each request
    running: Task[Any, Any] | None = None
    entered: bool = False
    pending_retry: RetryPlan | None = None
    caused: list[Consequences] = []
    added: dict[bytes, int] = {}
    outer: Request | None = None

    if not TYPE_CHECKING:  # Celery's context shows custom headers as attributes; typed code reads `headers`

        def __getattr__(self, name: str) -> object:
            headers = self.headers
            if headers is not None and name in headers:
                return headers[name]
            raise AttributeError(f"the request of a task has no field or header {name!r}")

    @property
    def chord(self) -> dict[str, Any] | None:
        """The chord's body."""
        if isinstance(self.sent_chord, Unread):
            self.sent_chord = self.sent_chord.read()  # from now on what the task makes of it counts
        return cast("dict[str, Any] | None", self.sent_chord)

    @chord.setter
    def chord(self, body: dict[str, Any] | None) -> None:
        self.sent_chord = body

    @property
    def chain(self) -> list[dict[str, Any]] | None:
        """What comes after it in a chain, in reverse order."""
        if isinstance(self.sent_chain, UnreadList):
            self.sent_chain = self.sent_chain.read()
        return self.sent_chain

    @chain.setter
    def chain(self, steps: list[dict[str, Any]] | None) -> None:
        self.sent_chain = steps

    @property
    def taskset(self) -> str | None:
        """The group's id by its old name."""
        return self.group

    @property
    def time_limit(self) -> float | None:
        """Hard time limit in seconds, as it was sent."""
        return self.timelimit[0] if self.timelimit else None

    @property
    def soft_time_limit(self) -> float | None:
        """Soft time limit in seconds, as it was sent."""
        return self.timelimit[1] if self.timelimit and len(self.timelimit) > 1 else None

    def get(self, name: str, default: Any = None) -> Any:
        """The field or custom header called `name`."""
        if name in self.__struct_fields__ or name in _AS_FIELDS:
            return getattr(self, name)
        return (self.headers or {}).get(name, default)

    def update(self, **fields: Any) -> None:
        """Set fields; names that are no fields become headers."""
        for name, value in fields.items():
            if name in self.__struct_fields__ or name in _AS_FIELDS:
                setattr(self, name, value)
            else:
                self.headers = {**(self.headers or {}), name: value}

    def as_execution_options(self) -> dict[str, Any]:
        """The call options that send the same call again."""
        options: dict[str, Any] = {
            "task_id": self.id,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group_id": self.group,
            "group_index": self.group_index,
            "shadow": self.shadow,
            "retries": self.retries,
            "reply_to": self.reply_to,
            "time_limit": self.time_limit,
            "soft_time_limit": self.soft_time_limit,
            "headers": self.headers,
            "link": self.callbacks,
            "link_error": self.errbacks,
            "expires": self.expires,
            "chord": self.chord,
            "chain": self.chain,
            "replaced_task_nesting": self.replaced_task_nesting or None,
            "stamped_headers": self.stamped_headers,
        }
        stamps = self.stamps or {}
        options |= {name: stamps[name] for name in self.stamped_headers or () if name in stamps}
        if self.delivery_info:
            options["queue"] = self.delivery_info.get("routing_key")
            options["priority"] = self.delivery_info.get("priority")
        return {name: value for name, value in options.items() if value is not None}


#: The request of the task that runs in this thread or coroutine.
current_request: Final[ContextVar[Request | None]] = ContextVar("celeriac_current_request", default=None)


def get_current_task() -> Task[Any, Any] | None:
    """The task that runs in this thread or coroutine, or None outside a task.

    Example:
        >>> get_current_task() is None
        True
    """
    request = current_request.get()
    return request.running if request is not None else None


#: The task that runs here, by Celery's name: `current_task().request`.
current_task: Final = Current("current_task", get_current_task)
