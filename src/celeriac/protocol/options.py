"""What a task message can say. Without `from __future__ import annotations`, see `celeriac.option_types`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from celeriac.serialization.unread import Unread, UnreadList

Signature = Mapping[str, Any]


class MessageOptions(TypedDict, total=False):
    """What a task message can say beside the call itself. All may be left out.

    Attributes:
        serializer: name of the serialiser; default `json`.
        compression: name of a compression for the body.
        eta: not to be run before; a naive time is UTC for all readers.
        expires: not to be run after.
        now: the time that `expires` was worked out from; default: the system's.
        retries: runs that ended in a retry before this one.
        time_limit: hard time limit in seconds.
        soft_time_limit: soft time limit in seconds.
        root_id: id of the first task of the workflow; default: the task's own id.
        parent_id: id of the task that sent this one.
        group: id of the group.
        shadow: name to show instead of the task's.
        ignore_result: store no result; None leaves it to the worker's task.
        replaced_task_nesting: how often the task was replaced.
        stamped_headers: names of the stamps.
        stamps: the stamps, by name.
        callbacks: signatures to send when it succeeded.
        errbacks: signatures to send when it failed.
        chain: the signatures to follow, last first.
        chord: signature of the chord's body.
        headers: custom headers, JSON types only.
        properties: further properties, JSON types only.
        priority: 0 to 9; default 0.
        reply_to: the producer's reply queue, kept for `rpc://` clients.
        origin: the sending process; default `gen<pid>@<host>`.
        delivery_mode: 2 (persistent, the default) or 1.
        repr_maxlevels: levels that `argsrepr` and `kwargsrepr` show; default 3.
    """

    serializer: str
    compression: str | None
    eta: datetime | None
    expires: datetime | None
    now: datetime | None
    retries: int
    time_limit: float | None
    soft_time_limit: float | None
    root_id: str | None
    parent_id: str | None
    group: str | None
    shadow: str | None
    ignore_result: bool | None
    replaced_task_nesting: int
    stamped_headers: Sequence[str] | None
    stamps: Mapping[str, Any] | None
    callbacks: Sequence[Signature] | None
    errbacks: Sequence[Signature] | None
    chain: Sequence[Signature] | UnreadList | None
    chord: Signature | Unread | None
    headers: Mapping[str, Any] | None
    properties: Mapping[str, Any] | None
    priority: int | None
    reply_to: str | None
    origin: str | None
    delivery_mode: int
    repr_maxlevels: int
