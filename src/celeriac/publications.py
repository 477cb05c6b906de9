"""From a call with its options to a publication.

Owns defaults (call option, else task, else setting), times, and the link to the running task. Sees to it that
options and arguments are checked, once for each call: what is right about them is said by `celeriac.call_options`,
`celeriac.protocol` and the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.call_options import PROPERTY_NAMES, checked_options
from celeriac.canvas.freezing import new_id
from celeriac.canvas.steps import as_list
from celeriac.entities import Exchange, Queue
from celeriac.message import MAX_PRIORITY, MIN_PRIORITY, Publication
from celeriac.option_types import CallOptions
from celeriac.protocol import RESERVED_HEADERS, MessageTemplate, checked_args, checked_kwargs, parse_iso
from celeriac.request import current_request
from celeriac.serialization.unread import UnreadList
from celeriac.task_options import own_options

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.routing import Route
    from celeriac.task import Task

NO_OPTIONS: Final[dict[str, Any]] = {}


class Call(NamedTuple):
    """A task to be sent with its arguments and options.

    Attributes:
        name: the task's name.
        args: positional arguments.
        kwargs: keyword arguments.
        options: as `CallOptions`.
        task: the task, if this process knows it: its attributes are the defaults then.
        checked: arguments and options were looked at before, or shall not be.
        task_id: its id, instead of that in the options: neighbours that differ in nothing else share the rest.
        group_index: its place in its group; likewise.
    """

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any] = NO_OPTIONS
    task: Task[Any, Any] | None = None
    checked: bool = False
    task_id: str | None = None
    group_index: int | None = None


def task_call(task: Task[Any, Any], args: Any, kwargs: Any, options: CallOptions) -> Call:
    """A call of `task`, by what `apply_async` and its like are given.

    Raises:
        TypeError: `args` is no list or tuple, or `kwargs` no mapping.
    """
    args = () if args is None else checked_args(args, task.name)
    kwargs = {} if kwargs is None else checked_kwargs(kwargs, task.name)
    return Call(task.name, args, kwargs, options, task)


class _Plan(NamedTuple):
    """What many calls with the same task and options have in common, worked out once."""

    template: MessageTemplate
    options: Mapping[str, Any]
    route: Route
    priority: int
    not_before: float | None


def make_publication(app: Celeriac, call: Call) -> Publication:
    """Make what the broker is given for `call`.

    Raises:
        TypeError, EncodeError, MessageTooLarge: as `send`.
    """
    return _fill(_plan(app, call), call)


def make_publications(app: Celeriac, calls: Sequence[Call]) -> list[Publication]:
    """`make_publication` for many. What neighbours have in common is worked out once."""
    publications: list[Publication] = []
    planned: Call | None = None
    plan: _Plan | None = None
    by_arguments = app.router.by_arguments
    for call in calls:
        if plan is None or planned is None or by_arguments or not _alike(call, planned):
            planned, plan = call, _plan(app, call)
        publications.append(_fill(plan, call))
    return publications


def _alike(call: Call, other: Call) -> bool:
    same_options = call.options is other.options or not (call.options or other.options)
    return same_options and call.task is other.task and call.name == other.name


def _plan(app: Celeriac, call: Call) -> _Plan:
    name, options, task = call.name, call.options, call.task
    if options:
        options = _without_reserved_headers(options) if call.checked else checked_options(options, name)
    route = _route(app, call, options)
    if route.options:
        options = _with_route(route.options, options, task)
    not_before, eta, expires = _moments(app, options, task)
    priority = _priority(app, options, task)
    chosen = _message_options(app, task)
    if route.delivery_mode is not None and (task is None or "delivery_mode" not in own_options(task)):
        chosen["delivery_mode"] = route.delivery_mode
    request = current_request.get()
    if request is not None and request.id is not None:
        chosen["root_id"] = request.root_id or request.id
        chosen["parent_id"] = request.id
    if options:
        _override(app, chosen, options)
        _check_properties(options, task)
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
    return _Plan(template, options, route, priority, not_before)


def _route(app: Celeriac, call: Call, options: Mapping[str, Any]) -> Route:
    """Where it goes: where its task does, or the one that `route_name` names."""
    name, task, other = call.name, call.task, options.get("route_name")
    if other is not None:
        name, task = other, app.tasks.find(other)
    return app.router.route(name, call.args, call.kwargs, options, task)


def _with_route(route: Mapping[str, Any], options: Mapping[str, Any], task: Task[Any, Any] | None) -> Mapping[str, Any]:
    """The call's options, and what `task_routes` says where neither the call nor the task itself says anything."""
    own = own_options(task) if task is not None else {}
    merged = {name: value for name, value in route.items() if own.get(name) is None}
    return {**merged, **{name: value for name, value in options.items() if value is not None}}


def _check_properties(options: Mapping[str, Any], task: Task[Any, Any] | None) -> None:
    """What the task's function takes by the name of a property must have been meant for the function."""
    if task is None or options.keys().isdisjoint(PROPERTY_NAMES):
        return
    for name in PROPERTY_NAMES:
        if name in options and task.takes_argument(name):
            raise TypeError(
                f"{name}={options[name]!r} of task {task.name} is a message property as a call option: arguments of "
                f"the task go into args= or kwargs=, properties of this name into properties={{{name!r}: ...}}"
            )


def _without_reserved_headers(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """A link came with a message: nobody is there to be told what is wrong with its headers."""
    headers = options.get("headers")
    if not headers or RESERVED_HEADERS.isdisjoint(headers):
        return options
    return {**options, "headers": {name: headers[name] for name in headers if name not in RESERVED_HEADERS}}


def _fill(plan: _Plan, call: Call) -> Publication:
    _, args, kwargs, _, task, checked, task_id, group_index = call
    options = plan.options
    if task is not None and not checked:
        args, kwargs = task.prepare_arguments(args, kwargs)
    if options:
        message = plan.template.message(
            task_id or options.get("task_id") or new_id(),
            args,
            kwargs,
            group_index=options.get("group_index") if group_index is None else group_index,
            argsrepr=options.get("argsrepr"),
            kwargsrepr=options.get("kwargsrepr"),
        )
    else:
        message = plan.template.message(task_id or new_id(), args, kwargs, group_index=group_index)
    return plan.route.publication(message, plan.priority, plan.not_before)


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
        "replaced_task_nesting",
        "reply_to",
        "retries",
        "root_id",
        "serializer",
        "shadow",
        "soft_time_limit",
        "time_limit",
    }
)


def _override(app: Celeriac, chosen: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Let the call's own options come before those of the task and the settings."""
    for option in _PASSED_ON & options.keys():
        if options[option] is not None:
            chosen[option] = options[option]
    chosen["group"] = options.get("group_id")
    chosen["callbacks"] = _links(app, options.get("link"))
    chosen["errbacks"] = _links(app, options.get("link_error"))
    chain, chord = options.get("chain"), options.get("chord")
    if chain is not None:
        chosen["chain"] = chain if isinstance(chain, UnreadList) else [_sendable(app, step) for step in chain]
    if chord is not None:
        chosen["chord"] = _sendable(app, chord)
    stamped = options.get("stamped_headers")
    if stamped is not None:
        chosen["stamped_headers"] = list(stamped)
        chosen["stamps"] = {name: options[name] for name in stamped if name in options}
    properties = dict(options.get("properties") or {})
    properties |= {name: options[name] for name in PROPERTY_NAMES if options.get(name) is not None}
    if properties:
        chosen["properties"] = properties


def _links(app: Celeriac, given: Any) -> list[dict[str, Any]] | None:
    return [_sendable(app, signature) for signature in as_list(given)] or None


def _sendable(app: Celeriac, signature: Mapping[str, Any]) -> dict[str, Any]:
    """A signature whose options name their queue and exchange: in a message there are no objects."""
    options = signature.get("options") or NO_OPTIONS
    queue, exchange = options.get("queue"), options.get("exchange")
    if not isinstance(queue, Queue) and not isinstance(exchange, Exchange):
        return signature if type(signature) is dict else dict(signature)  # nearly all, and chains are long
    named: dict[str, Any] = {}
    if isinstance(queue, Queue):
        named["queue"] = app.topology.add(queue).name
    if isinstance(exchange, Exchange):
        named |= {"exchange": exchange.name, "exchange_type": exchange.type}
    return {**signature, "options": {**options, **named}}


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
    due = due_moment(app, countdown, eta)
    return (due.timestamp() if due is not None else None), due, expiry(app, expires)


def due_moment(app: Celeriac, countdown: float | None, eta: datetime | str | None) -> datetime | None:
    """The moment that a countdown or an `eta` means; None for at once. A naive `eta` is in the app's timezone.

    Signatures that come with messages may have it as text, which is UTC unless it says another offset.
    """
    if isinstance(eta, str):
        return parse_iso(eta)
    if eta is not None:
        return _aware(app, eta)
    if countdown is not None and countdown > 0:
        return app.now() + timedelta(seconds=countdown)
    return None


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
