"""Routing: where a call goes, from its options, the task's attributes, `task_routes` and the queues there are.

Owns the forms of `task_routes`, which of these comes before which, and what becomes of a message to an exchange on a
broker that has none. What queues there are is `celeriac.topology`'s part.
"""

from __future__ import annotations

import fnmatch
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.call_options import checked_options
from celeriac.config.queues import as_queue, is_pair, is_queue
from celeriac.entities import Exchange, Queue
from celeriac.exceptions import ImproperlyConfigured, NotSupported, QueueNotFound
from celeriac.message import Publication
from celeriac.topology import Topology, check_shared

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.task import Task

#: Options that say where a call goes.
DESTINATION_OPTIONS: Final = ("queue", "exchange", "routing_key", "exchange_type", "mandatory")
#: Those of them that a task may have as attributes.
_OF_TASKS: Final = ("queue", "exchange", "routing_key")
_NOTHING: Final[Mapping[str, Any]] = {}
#: Answers that are kept, by names of tasks or of queues. Programs may use any number of them.
_KEPT: Final = 1000


class Route(NamedTuple):
    """Where a call goes.

    Attributes:
        queue: the queue, or the one by which the exchange was found.
        exchange: the exchange to publish to; None: straight to the queue, as with all direct exchanges.
        routing_key: the key there.
        mandatory: it is an error if no queue takes the message.
        delivery_mode: that of the exchange, if it has one.
        options: what else `task_routes` says of the call.
    """

    queue: Queue
    exchange: str | None = None
    routing_key: str = ""
    mandatory: bool = False
    delivery_mode: int | None = None
    options: Mapping[str, Any] = _NOTHING

    def publication(self, message: Any, priority: int, not_before: float | None) -> Publication:
        """The publication of a message that goes there."""
        return Publication(
            message, self.queue.name, priority, not_before, self.exchange, self.routing_key, self.mandatory
        )


class Router:
    """Finds the way of each call.

    Args:
        topology: the queues there are.
        routes: the setting `task_routes`.

    Attributes:
        by_arguments: the way may depend on a call's arguments, not on its name and options alone.

    Example:
        >>> router = Router(Topology(), {"mail.*": "mail"})
        >>> router.route("mail.send").queue.name, router.route("sums.add").queue.name
        ('mail', 'celery')
    """

    def __init__(self, topology: Topology, routes: Any = None) -> None:
        self.topology = topology
        self._finders = _finders(routes)
        self.by_arguments = not all(isinstance(finder, _Table) for finder in self._finders)
        self._default: Route | None = None
        self._found: dict[str, Mapping[str, Any]] = {}
        self._of_queues: dict[str, Route] = {}

    def route(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = _NOTHING,
        options: Mapping[str, Any] = _NOTHING,
        task: Task[Any, Any] | None = None,
    ) -> Route:
        """Where a call of the task `name` goes.

        The call's own options come before attributes of the task, these before `task_routes`, and that before the
        default queue. A None says nothing.

        Raises:
            QueueNotFound: the queue is not known, and none is made.
            TypeError, ValueError: what a router of `task_routes` returned can not be.
        """
        given = _given(options, task)
        if not self._finders:
            return self.destination(given)
        found = self._find(name, args, kwargs, {**options, **given}, task)
        if not found:
            return self.destination(given)
        more = {option: value for option, value in found.items() if option not in DESTINATION_OPTIONS}
        way = self.destination({**{option: found.get(option) for option in DESTINATION_OPTIONS}, **given})
        return way._replace(options=more) if more else way

    def destination(self, given: Mapping[str, Any]) -> Route:
        """Where options lead: `queue`, `exchange`, `routing_key`, `exchange_type`, `mandatory`. None says nothing.

        Raises:
            QueueNotFound: as `route`.
        """
        queue, exchange, key = given.get("queue"), given.get("exchange"), given.get("routing_key")
        if exchange is None and key is None:
            if queue is None:
                if self._default is None:
                    self._default = _way(self.topology, self.topology.queue(self.topology.default_queue), given)
                return self._default
            if type(queue) is str and given.get("exchange_type") is None and given.get("mandatory") is None:
                return self._to_queue(queue, given)
        if exchange == "" and key and queue is None:  # AMQP's way to name a queue
            return self._to_queue(key, _NOTHING)
        if queue is None and exchange and key:  # the queue is of no meaning then, and need not be there
            return _way(self.topology, self.topology.default, given)
        return _way(self.topology, self._queue(queue), given)

    def _to_queue(self, name: str, given: Mapping[str, Any]) -> Route:
        way = self._of_queues.get(name)
        if way is None:
            way = _way(self.topology, self.topology.queue(name), given)
            if len(self._of_queues) >= _KEPT:
                self._of_queues.clear()
            self._of_queues[name] = way
        return way

    def _queue(self, queue: Any) -> Queue:
        if queue is None:
            return self.topology.queue(self.topology.default_queue)
        if isinstance(queue, str):
            return self.topology.queue(queue)
        return self._added(as_queue(queue))

    def _added(self, queue: Queue) -> Queue:
        """A queue that was given as an object is known from then on."""
        known = self.topology.known(queue.name)
        if known is not None and known.given == queue:
            return known.queue
        self._default = None
        self._of_queues.pop(queue.name, None)
        return self.topology.add(queue)

    def _find(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
        task: Task[Any, Any] | None,
    ) -> Mapping[str, Any]:
        """What `task_routes` says; empty if nothing."""
        if self.by_arguments:
            wanted = options.get("queue")
            shown = {**options, "queue": self._queue(wanted)} if wanted is not None else dict(options)
            return self._ask(name, args, kwargs, shown, task)
        found = self._found.get(name)
        if found is None:
            found = self._ask(name, args, kwargs, options, task)
            if len(self._found) >= _KEPT:
                self._found.clear()
            self._found[name] = found
        return found

    def _ask(
        self,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
        task: Task[Any, Any] | None,
    ) -> Mapping[str, Any]:
        for finder in self._finders:
            found = finder(name, args, kwargs, options, task)
            if found is not None:
                return _checked_route(found, name)
        return _NOTHING


def destination_of_retry(app: Celeriac, here: Mapping[str, Any], options: Mapping[str, Any]) -> Route | None:
    """Where a retry goes whose options name a destination; None if they name none.

    Args:
        app: whose task it is.
        here: how the message was delivered: its `exchange` and `routing_key`, which hold where the options say nothing.
        options: those of `retry()`.

    Raises:
        QueueNotFound: as `Router.route`.
    """
    given = {name: options[name] for name in DESTINATION_OPTIONS if options.get(name) is not None}
    if not given:
        return None
    if "queue" not in given and "exchange" not in given and here.get("routing_key"):
        if here.get("exchange"):
            given = {"exchange": here["exchange"], "routing_key": here["routing_key"], **given}
        else:
            given["queue"] = here["routing_key"]
    return app.router.destination(given)


def _given(options: Mapping[str, Any], task: Task[Any, Any] | None) -> dict[str, Any]:
    """What call and task say of the destination."""
    given: dict[str, Any] = {}
    if task is not None:
        if task.queue is not None:
            given["queue"] = task.queue
        if task.exchange is not None:
            given["exchange"] = task.exchange
        if task.routing_key is not None:
            given["routing_key"] = task.routing_key
    if options:
        given |= {name: options[name] for name in DESTINATION_OPTIONS if options.get(name) is not None}
    return given


def _way(topology: Topology, queue: Queue, given: Mapping[str, Any]) -> Route:
    """The way to a queue, or to the exchange that was named beside it or that it is bound to."""
    exchange, key, kind = given.get("exchange"), given.get("routing_key"), given.get("exchange_type")
    main = queue.exchange or Exchange()
    named = exchange if isinstance(exchange, Exchange) else topology.exchange(exchange) if exchange else None
    if kind is None:
        is_known = named is not None and (named.type != "direct" or isinstance(exchange, Exchange))
        kind = named.type if named is not None and is_known else main.type
    name = exchange.name if isinstance(exchange, Exchange) else exchange
    mode = (named or main).delivery_mode
    if name == "" or (kind == "direct" and not (name and key)):
        return Route(queue, delivery_mode=mode)
    if name is None:
        name, key = main.name, key or queue.routing_key
    wanted = given.get("mandatory")
    # A broadcast that nobody listens to is no error, as little as an announcement in an empty room.
    mandatory = kind != "fanout" if wanted is None else wanted
    return Route(queue, name, key or "", mandatory, mode)


# -- the forms of task_routes ------------------------------------------------------------------------------------------

#: Called with name, arguments, keyword arguments, options and the task.
_Finder = Callable[[str, Sequence[Any], Mapping[str, Any], Mapping[str, Any], Any], Any]


class _Table:
    """Routes by name or pattern: exact names first, then patterns in their order."""

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._exact: dict[str, Any] = {}
        self._patterns: list[tuple[re.Pattern[str], Any]] = []
        for pattern, route in pairs:
            if isinstance(pattern, re.Pattern):
                self._patterns.append((pattern, route))
            elif "*" in pattern:
                self._patterns.append((re.compile(fnmatch.translate(pattern)), route))
            else:
                self._exact[pattern] = route

    def __call__(self, name: str, *_: Any) -> Any:
        if name in self._exact:
            return self._exact[name]
        return next((route for pattern, route in self._patterns if pattern.match(name)), None)


class _Function:
    """A router that is code of the user's: a function, an object with `route_for_task`, or the dotted name of one."""

    def __init__(self, router: Any) -> None:
        self._router = router

    def __call__(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], task: Any
    ) -> Any:
        if isinstance(self._router, str):
            self._router = _imported(self._router)
        if hasattr(self._router, "route_for_task"):
            return self._router.route_for_task(name, args, kwargs)
        return self._router(name, args, kwargs, options, task=task)


def _finders(routes: Any) -> list[_Finder]:
    if routes is None:
        return []
    return [_finder(router) for router in (routes if isinstance(routes, list | tuple) else [routes])]


def _finder(router: Any) -> _Finder:
    if isinstance(router, Mapping):
        return _Table(list(router.items()))
    if is_pair(router):
        return _Table([router])
    return _Table(router) if isinstance(router, list | tuple) else _Function(router)


def _imported(path: str) -> Any:
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        router = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"task_routes names {path!r}, which can not be imported ({error}): write 'module.function'"
        ) from error
    return router() if isinstance(router, type) and hasattr(router, "route_for_task") else router


def _checked_route(found: Any, name: str) -> Mapping[str, Any]:
    if isinstance(found, str) or is_queue(found):
        return {"queue": found}
    if not isinstance(found, Mapping):
        raise TypeError(f"task_routes of task {name} gives {found!r:.100}: expected a queue or a dictionary of options")
    try:
        return checked_options(found, name)
    except (TypeError, ValueError) as error:
        raise type(error)(f"task_routes: {error}") from None


# -- brokers without exchanges -----------------------------------------------------------------------------------------


def placed(app: Celeriac, publications: Sequence[Publication]) -> Sequence[Publication]:
    """The publications as the app's broker takes them: without exchanges, one for each queue that one would lead to.

    Raises:
        NotSupported: the exchange is not known, or can not be had without a broker that has exchanges.
        QueueNotFound: no queue takes a message that is `mandatory`.
    """
    if all(publication.exchange is None for publication in publications):
        return publications
    if app.conf.task_always_eager or app.broker.capabilities.exchanges:  # what runs in place goes nowhere
        return publications
    return [copy for publication in publications for copy in _copies(app, publication)]


def _copies(app: Celeriac, publication: Publication) -> list[Publication]:
    exchange, key = publication.exchange, publication.routing_key
    if exchange is None:
        return [publication]
    message = publication.message
    if app.topology.exchange(exchange) is None:
        raise NotSupported(
            f"the broker {app.broker.address} has no exchanges, so queues of exchange {exchange!r} are looked for in "
            "task_queues, and there are none: add celeriac.Queue(name, exchange, routing_key), or use queue="
        )
    names = app.topology.matching(exchange, key, message.headers)
    for name in names:
        check_shared(app.topology.queue(name))
    if not names and publication.mandatory:
        raise QueueNotFound(
            f"no queue of task_queues takes what is sent to exchange {exchange!r} with routing key {key!r}: task "
            f"{message.headers.get('task')} would be lost. Bind one to it, or say mandatory=False"
        )
    return [Publication(message, name, publication.priority, publication.not_before) for name in names]
