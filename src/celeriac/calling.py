"""Sending: from a call with its options to a publication, and from there to the broker.

Owns defaults (call option, else task, else setting), times, the link to the running task, publish signals and retries
of publishing. The message's form is `celeriac.protocol`'s; what a task checks about arguments is the task's.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac import signals
from celeriac.call_options import CALL_OPTION_NAMES, CallOptions, extra_properties
from celeriac.canvas.signature import as_list
from celeriac.exceptions import NotSupported, OperationalError
from celeriac.message import MAX_PRIORITY, MIN_PRIORITY, Publication
from celeriac.protocol import MessageTemplate, parse_iso
from celeriac.request import Request, current_request
from celeriac.result import AsyncResult

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.task import Task

#: Messages in one trip to the broker when many are sent.
CHUNK_SIZE: Final = 1000

NO_OPTIONS: Final[dict[str, Any]] = {}


class Call(NamedTuple):
    """A task to be sent with its arguments and options.

    Attributes:
        name: the task's name.
        args: positional arguments.
        kwargs: keyword arguments.
        options: as `CallOptions`, maybe with others that become properties.
        task: the task, if this process knows it: its attributes are the defaults then.
        checked: the arguments were looked at before, or shall not be.
    """

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any] = NO_OPTIONS
    task: Task[Any, Any] | None = None
    checked: bool = False


# -- to the broker -----------------------------------------------------------------------------------------------------


def send(app: Celeriac, call: Call) -> AsyncResult[Any]:
    """Publish one call and return its result.

    Raises:
        TypeError: arguments or options do not fit.
        EncodeError: an argument can not be serialised.
        MessageTooLarge: the body is over `task_message_size_limit`.
        OperationalError: the broker could not be reached, after the retries of the policy.
    """
    publication = make_publication(app, call)
    if signals.before_task_publish.receivers:
        announce(publication, call)
    _publish(app, [publication], call.options)
    if signals.after_task_publish.receivers:
        announce_sent(publication)
    return _result_of(app, call, publication)


async def asend(app: Celeriac, call: Call) -> AsyncResult[Any]:
    """`send` for asyncio."""
    publication = make_publication(app, call)
    if signals.before_task_publish.receivers:
        announce(publication, call)
    await _apublish(app, [publication], call.options)
    if signals.after_task_publish.receivers:
        announce_sent(publication)
    return _result_of(app, call, publication)


def send_many(app: Celeriac, calls: Iterable[Call], chunk_size: int = CHUNK_SIZE) -> list[AsyncResult[Any]]:
    """Publish many calls, `chunk_size` in one trip. What `calls` yields is used up as it is sent.

    Each trip is written whole or not at all; those before one that failed have been sent.
    """
    results: list[AsyncResult[Any]] = []
    for chunk in _chunks(calls, chunk_size):
        publications = _make_publications(app, chunk)
        _publish(app, publications, chunk[0].options)
        results += _results_of(app, chunk, publications)
    return results


async def asend_many(app: Celeriac, calls: Iterable[Call], chunk_size: int = CHUNK_SIZE) -> list[AsyncResult[Any]]:
    """`send_many` for asyncio; the loop is free between the trips."""
    results: list[AsyncResult[Any]] = []
    for chunk in _chunks(calls, chunk_size):
        publications = _make_publications(app, chunk)
        await _apublish(app, publications, chunk[0].options)
        results += _results_of(app, chunk, publications)
    return results


def _chunks(calls: Iterable[Call], size: int) -> Iterator[list[Call]]:
    if size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {size}")
    remaining = iter(calls)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _results_of(app: Celeriac, calls: Sequence[Call], publications: Sequence[Publication]) -> list[AsyncResult[Any]]:
    if signals.after_task_publish.receivers:
        for publication in publications:
            announce_sent(publication)
    return [_result_of(app, call, made) for call, made in zip(calls, publications, strict=True)]


def _result_of(app: Celeriac, call: Call, publication: Publication) -> AsyncResult[Any]:
    result: AsyncResult[Any] = AsyncResult(publication.message.headers["id"], None, call.name, app)
    request = current_request.get()
    if request is not None and call.options.get("add_to_parent", True):
        note_child(request, result)
    return result


def note_child(request: Request, result: AsyncResult[Any]) -> None:
    """Note `result` among the children of a running task, unless it leaves no trail."""
    if request.running is not None and request.running.trail:
        request.children.append(result)


def _publish(app: Celeriac, publications: Sequence[Publication], options: Mapping[str, Any]) -> None:
    try:
        app.broker.publish(publications)
    except OperationalError as first:
        error = first
        for pause in _pauses(app, options):
            time.sleep(pause)
            try:
                app.broker.publish(publications)
            except OperationalError as again:
                error = again
            else:
                return
        raise error from first


async def _apublish(app: Celeriac, publications: Sequence[Publication], options: Mapping[str, Any]) -> None:
    try:
        await app.broker.apublish(publications)
    except OperationalError as first:
        error = first
        for pause in _pauses(app, options):
            await asyncio.sleep(pause)
            try:
                await app.broker.apublish(publications)
            except OperationalError as again:
                error = again
            else:
                return
        raise error from first


def _pauses(app: Celeriac, options: Mapping[str, Any]) -> Iterator[float]:
    """Seconds to wait before each further try to publish."""
    wanted = options.get("retry")
    if not (app.conf.task_publish_retry if wanted is None else wanted):
        return
    policy = {**app.conf.task_publish_retry_policy, **(options.get("retry_policy") or {})}
    retries = policy.get("max_retries", 3)
    if retries is None:
        raise ValueError("max_retries=None of a publish retry policy would wait for ever: give a number")
    for number in range(retries):
        pause = policy.get("interval_start", 0) + number * policy.get("interval_step", 0.2)
        yield min(pause, policy.get("interval_max", 1))


# -- to a publication --------------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """What many calls with the same task and options have in common, worked out once."""

    template: MessageTemplate
    queue: str
    priority: int
    not_before: float | None


def make_publication(app: Celeriac, call: Call) -> Publication:
    """Make what the broker is given for `call`.

    Raises:
        TypeError, EncodeError, MessageTooLarge: as `send`.
    """
    return _fill(_plan(app, call), call)


def _make_publications(app: Celeriac, calls: Sequence[Call]) -> list[Publication]:
    publications: list[Publication] = []
    planned: Call | None = None
    plan: _Plan | None = None
    for call in calls:
        if plan is None or planned is None or not _alike(call, planned):
            planned, plan = call, _plan(app, call)
        publications.append(_fill(plan, call))
    if signals.before_task_publish.receivers:
        for publication, call in zip(publications, calls, strict=True):
            announce(publication, call)
    return publications


def _alike(call: Call, other: Call) -> bool:
    return call.options is other.options and call.task is other.task and call.name == other.name


def _plan(app: Celeriac, call: Call) -> _Plan:
    name, options, task = call.name, call.options, call.task
    not_before, eta, expires = _moments(app, options, task)
    priority = _priority(app, options, task)
    chosen = _message_options(app, task)
    request = current_request.get()
    if request is not None and request.id is not None:
        chosen["root_id"] = request.root_id or request.id
        chosen["parent_id"] = request.id
    if options:
        _override(chosen, options)
    conf = app.conf
    template = MessageTemplate(
        task=name,
        size_limit=conf.task_message_size_limit,
        repr_maxlevels=conf.task_repr_maxlevels,
        eta=eta,
        expires=expires,
        priority=priority,
        **chosen,
    )
    return _Plan(template, _queue(app, options, task), priority, not_before)


def _fill(plan: _Plan, call: Call) -> Publication:
    _, args, kwargs, options, task, checked = call
    if task is not None and not checked:
        args, kwargs = task.prepare_arguments(args, kwargs)
    if options:
        message = plan.template.message(
            options.get("task_id") or new_task_id(),
            args,
            kwargs,
            group_index=options.get("group_index"),
            argsrepr=options.get("argsrepr"),
            kwargsrepr=options.get("kwargsrepr"),
        )
    else:
        message = plan.template.message(new_task_id(), args, kwargs)
    return Publication(message, plan.queue, plan.priority, plan.not_before)


def new_task_id() -> str:
    """A random UUID (version 4) as text: `str(uuid.uuid4())` in a third of its time."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


#: The two highest bits of this digit say that the UUID is of the usual kind.
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def _message_options(app: Celeriac, task: Task[Any, Any] | None) -> dict[str, Any]:
    """What the message says by the task's attributes and the settings."""
    if task is not None:
        return {
            "serializer": task.serializer,
            "compression": task.compression,
            "ignore_result": task.ignore_result,
            "time_limit": task.time_limit,
            "soft_time_limit": task.soft_time_limit,
            "delivery_mode": task.delivery_mode,
        }
    conf = app.conf
    return {
        "serializer": conf.task_serializer,
        "compression": conf.task_compression,
        "delivery_mode": conf.task_default_delivery_mode,
    }


#: Options that are passed on to the message as they are.
_PASSED_ON: Final = frozenset(
    {
        "compression",
        "delivery_mode",
        "headers",
        "ignore_result",
        "parent_id",
        "reply_to",
        "retries",
        "root_id",
        "serializer",
        "shadow",
        "soft_time_limit",
        "time_limit",
    }
)


def _override(chosen: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Let the call's own options come before those of the task and the settings."""
    for option in _PASSED_ON & options.keys():
        if options[option] is not None:
            chosen[option] = options[option]
    chosen["group"] = options.get("group_id")
    chosen["callbacks"] = _links(options.get("link"), "link")
    chosen["errbacks"] = _links(options.get("link_error"), "link_error")
    if "properties" in options or not options.keys() <= CALL_OPTION_NAMES:
        chosen["properties"] = extra_properties(options)


def _links(given: Any, option: str) -> list[dict[str, Any]] | None:
    signatures: list[Any] = list(as_list(given))
    for signature in signatures:
        if not isinstance(signature, Mapping) or "task" not in signature:
            raise TypeError(f"{option} takes a signature or a list of them, not {signature!r}: use task.s(...)")
    return [dict(signature) for signature in signatures] or None


def _queue(app: Celeriac, options: Mapping[str, Any], task: Task[Any, Any] | None) -> str:
    queue = options.get("queue")
    routing_key = options.get("routing_key")
    if task is not None and queue is None and routing_key is None:
        queue = task.queue
        routing_key = task.routing_key
    exchange = options.get("exchange") or (task.exchange if task is not None else None)
    if exchange:
        raise NotSupported(
            f"exchange={exchange!r}: routing over exchanges comes with a later version. Name the queue with queue="
        )
    chosen: str = queue or routing_key or app.conf.task_default_queue
    return chosen


def _priority(app: Celeriac, options: Mapping[str, Any], task: Task[Any, Any] | None) -> int:
    priority = options.get("priority")
    if priority is None and task is not None:
        priority = task.priority
    if priority is None and app.conf.task_inherit_parent_priority:
        request = current_request.get()
        priority = request.delivery_info.get("priority") if request and request.delivery_info else None
    if priority is None:
        priority = app.conf.task_default_priority
    if priority is None:
        return MIN_PRIORITY
    if not isinstance(priority, int) or not MIN_PRIORITY <= priority <= MAX_PRIORITY:
        raise ValueError(f"priority={priority!r}: give a whole number from 0 (taken first) to 9")
    return priority


def _moments(
    app: Celeriac, options: Mapping[str, Any], task: Task[Any, Any] | None
) -> tuple[float | None, datetime | None, datetime | None]:
    """When it is due (Unix time, and as a datetime) and when it expires."""
    expires = options.get("expires")
    if expires is None and task is not None:
        expires = task.expires
    countdown, eta = options.get("countdown"), options.get("eta")
    if expires is None and countdown is None and eta is None:
        return None, None, None
    if countdown is not None and eta is not None:
        raise TypeError(f"countdown={countdown!r} and eta={eta!r} say the same thing: give one of them")
    due: datetime | None = None
    if countdown is not None:
        due = app.now() + timedelta(seconds=countdown) if countdown > 0 else None
    elif eta is not None:
        if not isinstance(eta, datetime):
            raise TypeError(f"eta={eta!r}: give a datetime, or seconds with countdown=")
        due = _aware(app, eta)
    return (due.timestamp() if due is not None else None), due, expiry(app, expires)


def expiry(app: Celeriac, expires: float | datetime | timedelta | str | None) -> datetime | None:
    """The moment that an `expires` means."""
    match expires:
        case None:
            return None
        case datetime():
            return _aware(app, expires)
        case timedelta():
            return app.now() + expires
        case str():
            return parse_iso(expires)
        case int() | float():
            return app.now() + timedelta(seconds=expires)
    raise TypeError(f"expires={expires!r}: give seconds, a timedelta or a datetime")


def _aware(app: Celeriac, moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=app.timezone)


# -- signals -----------------------------------------------------------------------------------------------------------


def announce(publication: Publication, call: Call) -> None:
    """Tell `before_task_publish`. What receivers put into the headers is sent."""
    message, options = publication.message, call.options
    signals.before_task_publish.send(
        sender=call.name,
        body=(call.args, call.kwargs, {"callbacks": options.get("link"), "errbacks": options.get("link_error")}),
        exchange="",
        routing_key=publication.queue,
        headers=message.headers,
        properties=message.properties,
        declare=[],
        retry_policy=options.get("retry_policy"),
    )


def announce_sent(publication: Publication) -> None:
    """Tell `after_task_publish`."""
    message = publication.message
    signals.after_task_publish.send(
        sender=message.headers["task"],
        headers=message.headers,
        body=message.body,
        exchange="",
        routing_key=publication.queue,
    )


def task_call(task: Task[Any, Any], args: Any, kwargs: Any, options: CallOptions) -> Call:
    """A call of `task` with checked types of arguments.

    Raises:
        TypeError: `args` is no list or tuple, or `kwargs` no mapping.
    """
    if args is None:
        args = ()
    elif not isinstance(args, list | tuple):
        raise TypeError(f"the args of task {task.name} must be a list or tuple, not {args!r}")
    if kwargs is None:
        kwargs = {}
    elif not isinstance(kwargs, Mapping):
        raise TypeError(f"the kwargs of task {task.name} must be a mapping, not {kwargs!r}")
    return Call(task.name, args, kwargs, options, task)
