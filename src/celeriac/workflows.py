"""From a frozen workflow to what is sent of it now: calls, and the chords that begin with them.

Owns what each message says of the workflow around it: what comes after it in its chain, the body of its chord, its
group. The rest of a chain travels in the message, last step first, as Celery has it; so a worker that runs a step needs
nothing but its message to send the next one. Knows nothing of brokers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from celeriac.call_options import CALL_OPTION_NAMES
from celeriac.canvas.freezing import Freezer, Place, Result, new_id
from celeriac.canvas.steps import (
    CHAIN,
    CHORD,
    GROUP,
    Frozen,
    Node,
    as_list,
    check_depth,
    chord_of,
    kind_of,
    members_of,
    own_options,
    tasks_of,
    with_arguments,
    with_options,
)
from celeriac.chords import ChordStart
from celeriac.group_result import GroupResult
from celeriac.publications import NO_OPTIONS, Call, due_moment
from celeriac.records import chord_ttl
from celeriac.result import AsyncResult
from celeriac.result_meta import encode_body
from celeriac.serialization.unread import UnreadList

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.message import Publication

#: What is sent: in this order, so that a chord is known before its members are.
Part: TypeAlias = Call | ChordStart

#: Options that `Call` has fields for, or that are put together anew.
_OWN: Final = frozenset({"task_id", "group_index", "chain", "chord"})
_ANCESTRY: Final = frozenset({"root_id", "parent_id"})
_NO_NODES: Final[tuple[Node, ...]] = ()


def freezer(app: Celeriac) -> Freezer:
    """What gives ids to workflows of `app`."""
    replies = app.replies
    return Freezer(app, replies.reply_queue() if replies is not None else None)


class Unfolding:
    """Unfolds frozen workflows.

    Args:
        app: whose they are.
        options: options that every message gets unless its signature says otherwise.
        fixed: options that every message gets whatever its signature says.
        checked: the signatures came with a message: nobody is there to be told what is wrong with them.
    """

    def __init__(
        self,
        app: Celeriac,
        *,
        options: Mapping[str, Any] = NO_OPTIONS,
        fixed: Mapping[str, Any] = NO_OPTIONS,
        checked: bool = False,
    ) -> None:
        self._app = app
        self._defaults = options
        self._fixed = fixed
        self._checked = checked
        self._last: dict[str, Any] | None = None

    def parts(
        self,
        node: Node,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = NO_OPTIONS,
        chain: Sequence[Node] = _NO_NODES,
        chord: Node | None = None,
    ) -> Iterator[Part]:
        """What is to be sent.

        Args:
            node: what `Freezer.freeze` made.
            args: go in front of the arguments of whatever runs first.
            kwargs: likewise.
            chain: what comes after it, last first.
            chord: the body of the chord that it is a member of.

        Raises:
            NotSupported: there is a chord in it, and no place to join chords.
        """
        kind = kind_of(node)
        if not kind:
            yield self._call(node, args, kwargs, chain, chord)
            return
        if node.get("immutable"):
            args, kwargs = (), NO_OPTIONS
        own = as_list((node.get("options") or NO_OPTIONS).get("chain"))
        if own:
            chain = [*chain, *own]
        if kind == CHAIN:
            yield from self._chain_parts(node, args, kwargs, chain, chord)
        elif kind == GROUP:
            yield from self._group_parts(node, args, kwargs, chain, chord)
        else:
            yield from self._chord_parts(node, args, kwargs, chain, chord)

    def _chain_parts(
        self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], chain: Sequence[Node], chord: Node | None
    ) -> Iterator[Part]:
        first, *rest = tasks_of(node)
        if any(kind_of(step) == CHORD for step in rest):
            _ = self._app.chord_store  # refuses now, not when half of the chain has run
        if chord is not None and rest:
            rest[-1] = attached(rest[-1], chord)
            chord = None
        yield from self.parts(first, args, kwargs, [*chain, *reversed(rest)], chord)

    def _group_parts(
        self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], chain: Sequence[Node], chord: Node | None
    ) -> Iterator[Part]:
        if chain:  # of another program's making: ours are chords then
            frozen, _ = freezer(self._app).freeze(chord_of(node, chain[-1]))
            yield from self.parts(frozen, args, kwargs, chain[:-1], chord)
            return
        for member in tasks_of(node):
            if kind_of(member):
                yield from self.parts(member, args, kwargs, _NO_NODES, chord)
            else:
                yield self._call(member, args, kwargs, _NO_NODES, chord)

    def _chord_parts(
        self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], chain: Sequence[Node], chord: Node | None
    ) -> Iterator[Part]:
        inner = node["kwargs"]
        header, body = inner["header"], inner["body"]
        if chain:
            options = body.get("options") or NO_OPTIONS
            body = {**body, "options": {**options, "chain": [*chain, *as_list(options.get("chain"))]}}
        if chord is not None:
            body = attached(body, chord)
        members = tasks_of(header)
        if not members:
            yield from self.parts(body, ([],))
            return
        _ = self._app.chord_store  # refuses if there is none
        yield ChordStart(
            header["options"]["task_id"],
            len(members),
            _chord_ttl(self._app, members),
            encode_body(body, self._app.conf.task_serializer),
            self._fixed.get("root_id"),
            self._app.conf.task_default_queue,
        )
        if inner.get("kwargs"):
            kwargs = {**inner["kwargs"], **kwargs}
        if node.get("args") and not node.get("immutable"):
            args = [*args, *node["args"]]
        yield from self._group_parts(header, args, kwargs, _NO_NODES, body)

    def _call(
        self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], chain: Sequence[Node], chord: Node | None
    ) -> Call:
        given = node.get("options") or NO_OPTIONS
        own = as_list(given.get("chain"))
        rest = [*chain, *own] if own else chain
        chord = chord if chord is not None else given.get("chord")
        options = {name: value for name, value in given.items() if name not in _OWN}
        if self._checked:
            options = _known(options)
        if self._defaults:
            options = {**self._defaults, **options}
        if self._fixed:
            options |= self._fixed
        if rest:
            options["chain"] = rest if isinstance(rest, UnreadList) else list(rest)
        if chord is not None:
            options["chord"] = chord
        if self._last is not None and _equal(options, self._last):
            options = self._last  # neighbours with the same options are worked out together
        self._last = options
        name = node["task"]
        if args or kwargs:
            node = with_arguments(node, args, kwargs)
        return Call(
            name,
            node.get("args") or (),
            node.get("kwargs") or NO_OPTIONS,
            options,
            self._app.tasks.find(name),
            self._checked,
            given.get("task_id"),
            given.get("group_index"),
        )


def _known(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a call can have: a signature of another program's may have more.

    The run that sends it is its parent and leads to the root, whatever was known when the signature was made.
    """
    known = CALL_OPTION_NAMES.union(options.get("stamped_headers") or ()) - _ANCESTRY
    return {name: value for name, value in options.items() if name in known}


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Equal at a glance: bodies and the like are the same object."""
    return len(one) == len(other) and all(
        name in other and (value is other[name] or (not isinstance(value, dict | list) and value == other[name]))
        for name, value in one.items()
    )


def _chord_ttl(app: Celeriac, members: Sequence[Node]) -> float | None:
    """How long what is known of a chord is kept: members that are due later count from then on."""
    ttl = chord_ttl(app)
    return None if ttl is None else ttl + max(_delay(app, member) for member in members)


def _delay(app: Celeriac, node: Node) -> float:
    """Seconds until what runs first of this is due."""
    kind = kind_of(node)
    if kind == CHAIN:
        return sum(_delay(app, step) for step in tasks_of(node))
    if kind == CHORD:
        inner = node["kwargs"]
        return max((_delay(app, member) for member in tasks_of(inner["header"])), default=0.0) + _delay(
            app, inner["body"]
        )
    options = node.get("options") or NO_OPTIONS
    countdown, eta = options.get("countdown"), options.get("eta")
    if not countdown and not eta:
        return 0.0
    due = due_moment(app, countdown, eta)
    return max(0.0, due.timestamp() - app.clock.time()) if due is not None else 0.0


def located(starts: Sequence[tuple[int, ChordStart]], publications: Sequence[Publication]) -> list[ChordStart]:
    """Chords that begin, with the queue of the first of their members.

    Args:
        starts: each with the number of calls before it: the next one is its first member's.
        publications: one for each call.
    """
    return [
        msgspec.structs.replace(start, queue=publications[at].queue or start.queue) if at < len(publications) else start
        for at, start in starts
    ]


def attached(node: Node, chord: Node) -> Frozen:
    """The node with the body of the chord that it is a member of noted at its last task."""
    kind = kind_of(node)
    if kind == CHAIN:
        steps = list(tasks_of(node))
        steps[-1] = attached(steps[-1], chord)
        return {**node, "kwargs": {**node["kwargs"], "tasks": steps}}
    options = {**(node.get("options") or NO_OPTIONS)}
    rest = as_list(options.get("chain"))
    if rest:
        return {**node, "options": {**options, "chain": [attached(rest[0], chord), *rest[1:]]}}
    if kind == CHORD:
        return {**node, "kwargs": {**node["kwargs"], "body": attached(node["kwargs"]["body"], chord)}}
    return {**node, "options": {**options, "chord": chord}}


def _tasks_of(result: Result | None) -> Iterator[AsyncResult[Any]]:
    """The tasks that a result is about, and those that lead to it."""
    while result is not None:
        if isinstance(result, AsyncResult):
            yield result
        else:
            for member in result.results:
                yield from _tasks_of(member)
        result = result.parent


class Workflow:
    """A workflow that the program has made and that is about to be sent.

    Args:
        app: whose it is.
        node: its signature. A group may hold a generator, which is read as the parts are.
        args: go in front of the arguments of whatever runs first.
        kwargs: likewise.

    Raises:
        TypeError, ValueError: it is not well formed; for a group this may show only as the parts are read.
    """

    def __init__(self, app: Celeriac, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._app = app
        self._freezer = freezer(app)
        self._unfolding = Unfolding(app)
        self._arguments = args, kwargs
        self._node = node
        self._members: list[Result] = []
        self._told = 0
        options = node.get("options") or NO_OPTIONS
        self._group_id: str | None = (options.get("task_id") or new_id()) if kind_of(node) == GROUP else None
        if self._group_id is None:
            check_depth(node)
            self._node, self._result = self._freezer.freeze(node)

    @property
    def awaited(self) -> list[str]:
        """The tasks that are sent later by workers, and whose results come here: those not told of yet."""
        if self._app.replies is None:
            return []
        if self._group_id is None:
            return [task.id for task in _tasks_of(self._result)]
        ends = [member for member in self._members[self._told :] if member.parent is not None]
        self._told = len(self._members)
        return [task.id for end in ends for task in _tasks_of(end)]

    def keep(self, kept: Mapping[str, object]) -> None:
        """Have the results hold on to what their backend needs them to."""
        if kept:
            for result in [self._result] if self._group_id is None else self._members:
                for task in _tasks_of(result):
                    if task.id in kept:
                        task.kept = kept[task.id]

    def parts(self) -> Iterator[Part]:
        """What is to be sent, in this order. To be read once."""
        if self._group_id is None:
            yield from self._unfolding.parts(self._node, *self._arguments)
            return
        options = own_options(self._node)
        for index, member in enumerate(members_of(self._node)):
            place = Place(None, self._group_id, index)
            check_depth(member, 1)
            frozen, result = self._freezer.freeze(with_options(member, options), place)
            self._members.append(result)
            yield from self._unfolding.parts(frozen, *self._arguments)

    def result(self) -> Result:
        """The result, complete when the parts were read."""
        if self._group_id is None:
            return self._result
        return GroupResult(self._group_id, self._members, app=self._app)
