"""Workflows made ready to be sent: every task gets its id, and the results are known before anything runs.

Owns ids and the tree of results. Works on the form that `celeriac.canvas.steps` describes; what has an id keeps it, so
a workflow can be frozen again when a part of it comes back with a message. Knows nothing of messages.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from celeriac.canvas.steps import (
    ACCUMULATING,
    CHAIN,
    CHORD,
    GROUP,
    OF_HEADER,
    Frozen,
    Node,
    chord_of,
    kind_of,
    members_of,
    own_options,
    steps_of,
    with_options,
)
from celeriac.group_result import GroupResult
from celeriac.result import AsyncResult

if TYPE_CHECKING:
    from celeriac.app import Celeriac

Result: TypeAlias = "AsyncResult[Any] | GroupResult"


class Place(NamedTuple):
    """Where in a workflow a node stands: what its last task must say of itself.

    Attributes:
        task_id: the id of that task, if it has none of its own.
        group_id: the group that it is a member of.
        group_index: its place there.
        chord: the body of the chord that it is a member of, where that is known already.
        is_member: it is a member of a chord's header, and must end in one task.
    """

    task_id: str | None = None
    group_id: str | None = None
    group_index: int | None = None
    chord: Node | None = None
    is_member: bool = False


NOWHERE: Final = Place()


def new_id() -> str:
    """A random UUID (version 4) as text: `str(uuid.uuid4())` in a third of its time."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def derived_id(*said: bytes) -> str:
    """A UUID that says the same of the same, as text."""
    digest = hashlib.sha256()
    for one in said:
        digest.update(b"%d:%b" % (len(one), one))
    return str(uuid.UUID(bytes=digest.digest()[:16], version=5))


#: The two highest bits of this digit say that the UUID is of the usual kind.
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Freezer:
    """Freezes workflows of one app.

    Args:
        app: whose results they have.
        reply_to: where results go that are sent, not stored; Celery workers want it in each signature.
    """

    def __init__(self, app: Celeriac, reply_to: str | None = None) -> None:
        self._app = app
        self._reply_to = reply_to
        self._errbacks_on_header: bool = app.conf.task_allow_error_cb_on_chord_header

    def freeze(self, node: Node, place: Place = NOWHERE) -> tuple[Frozen, Result]:
        """The node in its final form, and what its result will be.

        Raises:
            TypeError: something in it is no signature.
            ValueError: it is an empty chain.
        """
        steps = steps_of(node, self._errbacks_on_header)
        if not steps:
            raise ValueError("an empty chain has nothing to run: leave it out")
        frozen: list[Frozen] = []
        result: Result | None = None
        for number, step in enumerate(steps, 1):
            one, following = self._freeze_step(step, place if number == len(steps) else NOWHERE)
            frozen.append(one)
            if result is not None:
                _first_of(following).parent = result
            result = following
        assert result is not None
        return (frozen[0] if len(frozen) == 1 else _chain_of(frozen, result)), result

    def _freeze_step(self, step: Node, place: Place) -> tuple[Frozen, Result]:
        kind = kind_of(step)
        if kind == CHORD:
            return self._freeze_chord(step, place)
        if kind == GROUP:
            if not place.is_member:
                return self.freeze_group(step, place)
            return self._freeze_chord(chord_of(step, ACCUMULATING), place)
        return self.freeze_task(step, place)

    def freeze_task(self, node: Node, place: Place) -> tuple[Frozen, AsyncResult[Any]]:
        """`freeze` for a single task."""
        options: dict[str, Any] = {**(node.get("options") or {})}
        task_id: str = options.setdefault("task_id", place.task_id or new_id())
        if self._reply_to is not None:
            options.setdefault("reply_to", self._reply_to)
        if place.group_id is not None and "chord" not in options:  # else it was frozen in its place
            options["group_id"] = place.group_id
            options["group_index"] = place.group_index
        if place.chord is not None:
            options["chord"] = place.chord
        return {**node, "options": options}, AsyncResult(task_id, None, node["task"], self._app)

    def freeze_group(self, group: Node, place: Place) -> tuple[Frozen, GroupResult]:
        """`freeze` for a group whose members need not be counted."""
        options = group.get("options") or {}
        group_id = options.get("task_id") or place.task_id or new_id()
        members, results = self._freeze_members(group, group_id, own_options(group), is_member=False)
        kept = {"chain": options["chain"]} if options.get("chain") else {}
        frozen = _group_of(members, {"task_id": group_id, **kept})
        if group.get("immutable"):
            frozen["immutable"] = True
        return frozen, GroupResult(group_id, results, app=self._app)

    def _freeze_members(
        self, group: Any, group_id: str, options: Mapping[str, Any], *, is_member: bool
    ) -> tuple[list[Frozen], list[Result]]:
        members: list[Frozen] = []
        results: list[Result] = []
        for index, member in enumerate(members_of(group)):
            place = Place(None, group_id, index, None, is_member)
            frozen, result = self.freeze(with_options(member, options), place)
            members.append(frozen)
            results.append(result)
        return members, results

    def _freeze_chord(self, chord: Node, place: Place) -> tuple[Frozen, Result]:
        """A chord whose body is one step."""
        options, kwargs = chord.get("options") or {}, chord["kwargs"]
        header = kwargs["header"]
        of_header = (header.get("options") or {}) if isinstance(header, Mapping) else {}
        group_id = of_header.get("task_id") or new_id()
        shared = own_options(chord)
        members, results = self._freeze_members(
            header, group_id, {**(own_options(header) if of_header else {}), **shared}, is_member=True
        )
        of_body = {name: value for name, value in shared.items() if name not in OF_HEADER}
        task_id = options.get("task_id")
        body_place = Place(
            (task_id if task_id != group_id else None) or place.task_id,
            place.group_id or options.get("group_id"),
            place.group_index if place.group_id is not None else options.get("group_index"),
            place.chord or options.get("chord"),
            place.is_member,
        )
        body, result = self.freeze(with_options(kwargs["body"], of_body), body_place)
        _first_of(result).parent = GroupResult(group_id, results, app=self._app)
        kept = {"chain": options["chain"]} if options.get("chain") else {}
        frozen = chord_of(_group_of(members, {"task_id": group_id}), body)
        frozen["kwargs"]["kwargs"] = kwargs.get("kwargs") or {}
        # A worker of Celery takes the group's id from here: it makes a new header of the members.
        return {**chord, "kwargs": frozen["kwargs"], "options": {"task_id": group_id, **kept}}, result


def _first_of(result: Result) -> Result:
    """The result at the beginning of what leads to this one."""
    while result.parent is not None:
        result = result.parent
    return result


def _chain_of(steps: Sequence[Frozen], result: Result) -> Frozen:
    options = {"task_id": result.id}
    return {
        "task": CHAIN,
        "args": [],
        "kwargs": {"tasks": steps},
        "options": options,
        "subtask_type": "chain",
        "immutable": False,
    }


def _group_of(members: Sequence[Frozen], options: dict[str, Any]) -> Frozen:
    return {
        "task": GROUP,
        "args": [],
        "kwargs": {"tasks": members},
        "options": options,
        "subtask_type": "group",
        "immutable": False,
    }
