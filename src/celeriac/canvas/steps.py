"""What a workflow means: which step follows which, what a group inside it turns into, who carries links and options.

Works on signatures in their dictionary form, as they come with messages, and changes none of those it is given. Knows
nothing of ids, results and messages.

In the form that comes out a chain holds tasks and chords, and at its end perhaps a group: chains within are spliced,
empty groups dropped, groups of one unrolled, a group that something follows is the header of a chord, and of a chord
whose body goes on the rest is part of the chain. The rules are those of Celery's `canvas` module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

#: A signature in its dictionary form.
Node: TypeAlias = Mapping[str, Any]
Frozen: TypeAlias = dict[str, Any]

CHAIN: Final = "celery.chain"
GROUP: Final = "celery.group"
CHORD: Final = "celery.chord"
_KINDS: Final = frozenset({CHAIN, GROUP, CHORD})
ACCUMULATE: Final = "celery.accumulate"

#: Chains, groups and chords within each other. What goes through them calls itself for each, a few times.
MAX_DEPTH: Final = 100

#: The body of a chord that gives the list of its header's results.
ACCUMULATING: Final[Node] = {
    "task": ACCUMULATE,
    "args": [],
    "kwargs": {"index": 0},
    "options": {},
    "subtask_type": None,
    "immutable": False,
}

#: Options of a chain, group or chord that say where it stands or what becomes of it; all others are for its tasks.
_STRUCTURE: Final = frozenset({"task_id", "group_id", "group_index", "chord", "chain", "link", "link_error"})
#: Those that say where it stands: they are its last task's.
_PLACE: Final = ("task_id", "group_id", "group_index", "chord")
_CALLBACKS: Final = ("link", "link_error")
#: Options of a chord that its header has and its body has not: they say when to begin, and by whom.
OF_HEADER: Final = frozenset({"countdown", "eta", "parent_id"})


def kind_of(node: object) -> str:
    """`celery.chain`, `celery.group` or `celery.chord`; empty for a task.

    Raises:
        TypeError: it is no signature.
    """
    if not (type(node) is dict or isinstance(node, Mapping)) or not isinstance(node.get("task"), str):
        raise TypeError(f"a workflow is made of signatures, such as task.s(...), not of {node!r:.100}")
    task: str = node["task"]
    if task not in _KINDS:
        return ""
    inner = node.get("kwargs") or {}
    if not isinstance(inner, Mapping) or (task == CHORD and "header" not in inner):
        wanted = "a chord needs a header and a body" if task == CHORD else "kwargs of a workflow are a dictionary"
        raise TypeError(f"{wanted}: {node!r:.100} is no signature of {task}")
    return task


def check_depth(node: Node, depth: int = 0) -> None:
    """See that a workflow can be gone through. A generator of members is not read for it.

    Args:
        node: the workflow.
        depth: how many there are around it.

    Raises:
        TypeError: something in it is no signature.
        ValueError: there are too many chains, groups and chords within each other.
    """
    level = [node] if kind_of(node) else []
    while level:
        if depth == MAX_DEPTH:
            raise too_deep()
        depth += 1
        level = [inner for outer in level for inner in _workflows_in(outer)]


def _workflows_in(node: Node) -> Iterator[Node]:
    if kind_of(node) != CHORD:
        parts: Any = tasks_of(node)
    else:
        header, body = node["kwargs"]["header"], node["kwargs"].get("body")
        following = tasks_of(body) if body and kind_of(body) == CHAIN else [body] if body else []
        # A long chain with groups in it is chords in the bodies of chords: its user has nested nothing twice.
        parts = [*_listed(tasks_of(header) if isinstance(header, Mapping) else header), *_listed(following)]
    return (part for part in _listed(parts) if kind_of(part))


def _listed(parts: Any) -> Sequence[Any]:
    return parts if isinstance(parts, list | tuple) else ()


def too_deep() -> ValueError:
    """What is wrong with a workflow that is nested too deeply, and what can be done."""
    return ValueError(
        f"a workflow is nested too deeply: at most {MAX_DEPTH} chains, groups and chords can be within each other. Let "
        "a task in the middle of it go on with the rest: raise self.replace(the_rest)"
    )


def as_list(given: Any) -> list[Any]:
    """What options such as `link` hold: nothing, one signature, or several."""
    if given is None:
        return []
    return [given] if isinstance(given, Mapping) else list(given)


def members_of(group: Any) -> Iterable[Node]:
    """The members of a group, or of a header that was given as a list; those of groups within in their place."""
    for member in tasks_of(group) if isinstance(group, Mapping) else group:
        if kind_of(member) == GROUP:
            options = own_options(member)
            yield from (with_options(inner, options) for inner in members_of(member)) if options else members_of(member)
        elif kind_of(member) != CHAIN or any(True for _ in tasks_of(member)):
            yield member


def tasks_of(chain: Node) -> Sequence[Node]:
    """The tasks of a chain."""
    tasks: Sequence[Node] | None = (chain.get("kwargs") or {}).get("tasks")
    return () if tasks is None else tasks  # no look inside: a generator's are not to be read yet


def own_options(node: Node) -> dict[str, Any]:
    """The options of a chain, group or chord that are meant for its tasks."""
    return {name: value for name, value in (node.get("options") or {}).items() if name not in _STRUCTURE}


def with_options(node: Node, options: Mapping[str, Any]) -> Node:
    """The node with more options; they come before its own."""
    return {**node, "options": {**(node.get("options") or {}), **options}} if options else node


def with_arguments(node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Node:
    """The node with more arguments, in front of its own, unless it is immutable."""
    if node.get("immutable") or not (args or kwargs):
        return node
    return {
        **node,
        "args": [*args, *(node.get("args") or ())],
        "kwargs": {**(node.get("kwargs") or {}), **kwargs},
    }


def given(node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Node:
    """The node with more arguments for whatever of it runs first."""
    kind = kind_of(node)
    if node.get("immutable") or not (args or kwargs):
        return node
    if kind == GROUP:
        return _with_tasks(node, [given(member, args, kwargs) for member in members_of(node)])
    if kind == CHORD:
        inner = node["kwargs"]
        members = [given(member, args, kwargs) for member in members_of(inner["header"])]
        header = _with_tasks(inner["header"], members) if isinstance(inner["header"], Mapping) else members
        return {**node, "kwargs": {**inner, "header": header}}
    return with_arguments(node, args, kwargs)


# -- the form ----------------------------------------------------------------------------------------------------------


def steps_of(node: Node, errbacks_on_header: bool) -> list[Node]:
    """What is done one after the other, with the links and options of chains handed to their steps."""
    kind = kind_of(node)
    if kind == CHAIN:
        return _spread(node, _opened(node, _joined(_spliced(tasks_of(node), errbacks_on_header))))
    if kind == CHORD:
        return _chord_steps(node, errbacks_on_header)
    return [node]


def _opened(chain: Node, steps: list[Node]) -> list[Node]:
    """The steps, the first of them with the chain's own arguments, and closed to others if the chain is."""
    if steps:
        kwargs = {name: value for name, value in (chain.get("kwargs") or {}).items() if name != "tasks"}
        steps[0] = given(steps[0], chain.get("args") or (), kwargs)
        if chain.get("immutable"):
            steps[0] = {**steps[0], "immutable": True}
    return steps


def _spliced(tasks: Iterable[Node], errbacks_on_header: bool) -> Iterator[Node]:
    """Steps without chains among them; groups of one are that one, empty ones nothing."""
    empty: Node | None = None
    found = False
    for task in tasks:
        kind = kind_of(task)
        if kind in (CHAIN, CHORD):
            steps = steps_of(task, errbacks_on_header)
        elif kind == GROUP:
            members = list(members_of(task))
            if not members:
                empty = task
                continue
            alone = with_options(members[0], own_options(task))
            steps = [_with_tasks(task, members)] if len(members) > 1 else steps_of(alone, errbacks_on_header)
        else:
            steps = [task]
        found = found or bool(steps)
        yield from steps
    if empty is not None and not found:
        yield empty  # there is nothing else: its result is the empty list


def _joined(steps: Iterable[Node]) -> list[Node]:
    """The same steps, each group with what follows it as a chord."""
    joined: list[Node] = []
    for step in steps:
        if joined and ends_in_group(joined[-1]):
            joined[-1] = _continued(joined[-1], step)
        else:
            joined.append(step)
    return joined


def ends_in_group(step: Node) -> bool:
    """It is a group, or a chord whose body comes to one."""
    kind = kind_of(step)
    return kind == GROUP or (kind == CHORD and ends_in_group(step["kwargs"]["body"]))


def _continued(step: Node, following: Node) -> Frozen:
    if kind_of(step) == GROUP:
        return chord_of(step, following)
    kwargs = step["kwargs"]
    return {**step, "kwargs": {**kwargs, "body": _continued(kwargs["body"], following)}}


def chord_of(header: Node, body: Node) -> Frozen:
    """A chord in its dictionary form."""
    kwargs = {"kwargs": {}, "header": header, "body": body}
    return {"task": CHORD, "args": [], "kwargs": kwargs, "options": {}, "subtask_type": "chord", "immutable": False}


def with_one_end(node: Node, errbacks_on_header: bool) -> Node:
    """The node with one task at its end: a group there is the header of a chord whose body gives the list."""
    steps = [node] if kind_of(node) == GROUP else steps_of(node, errbacks_on_header)
    if not steps or not ends_in_group(steps[-1]):
        return node
    return {"task": CHAIN, "kwargs": {"tasks": [*steps[:-1], _continued(steps[-1], ACCUMULATING)]}, "options": {}}


def _chord_steps(chord: Node, errbacks_on_header: bool) -> list[Node]:
    """A chord, and what comes after the first step of its body."""
    kwargs = chord.get("kwargs") or {}
    body = kwargs.get("body")
    if body is None:
        raise TypeError("a chord needs a body: chord(header, body), or chord(header)(body)")
    options = chord.get("options") or {}
    header = _with_errbacks(kwargs["header"], options, errbacks_on_header)
    callbacks = {name: options[name] for name in _CALLBACKS if name in options}
    steps = steps_of(body, errbacks_on_header)
    if not steps:
        raise ValueError("the body of a chord is an empty chain, which has nothing to run: name a task")
    first, *rest = _spread({"options": callbacks}, steps)
    kept = {name: value for name, value in options.items() if name not in _CALLBACKS}
    if rest:  # where the chord stands, its last step stands
        of_header = (header.get("options") or {}) if isinstance(header, Mapping) else {}
        place = {name: kept.pop(name) for name in _PLACE if name in kept}
        if place.get("task_id") == of_header.get("task_id"):
            place.pop("task_id", None)  # not the body's: Celery keeps the group's there
        rest[-1] = {**rest[-1], "options": {**place, **(rest[-1].get("options") or {})}}
    return [{**chord, "kwargs": {**kwargs, "header": header, "body": first}, "options": kept}, *rest]


def _with_errbacks(header: Any, options: Mapping[str, Any], errbacks_on_header: bool) -> Any:
    """The header with the chord's errbacks, where the settings say so."""
    errbacks = as_list(options.get("link_error"))
    if not (errbacks and errbacks_on_header):
        return header
    members = [_linked(member, (), errbacks) for member in members_of(header)]
    return _with_tasks(header, members) if isinstance(header, Mapping) else members


def _with_errbacks_of_chords(header: Any, errbacks: Sequence[Any]) -> Any:
    """The header, its members that are chords with these errbacks."""
    if not errbacks:
        return header
    tasks = tasks_of(header) if isinstance(header, Mapping) else header
    members = [_linked(task, (), errbacks) if kind_of(task) == CHORD else task for task in tasks]
    return _with_tasks(header, members) if isinstance(header, Mapping) else members


def _with_tasks(node: Node, tasks: Sequence[Node]) -> Frozen:
    return {**node, "kwargs": {**(node.get("kwargs") or {}), "tasks": tasks}}


def _spread(chain: Node, steps: list[Node]) -> list[Node]:
    """Hand what a chain says of itself to its steps: errbacks to each, links and its place to the last."""
    options = chain.get("options") or {}
    if not options or not steps:
        return steps
    errbacks = as_list(options.get("link_error"))
    if errbacks:
        steps = [_linked(step, (), errbacks) for step in steps]
    links = as_list(options.get("link"))
    if links:
        steps[-1] = _linked(steps[-1], links, ())
    place = {name: options[name] for name in _PLACE if name in options}
    if place:
        steps[-1] = {**steps[-1], "options": {**place, **(steps[-1].get("options") or {})}}
    steps[0] = with_options(steps[0], own_options(chain))
    return [*steps, *reversed(as_list(options.get("chain")))]


def _linked(step: Node, links: Sequence[Any], errbacks: Sequence[Any]) -> Node:
    """The step with more callbacks. A chord's are its body's, a group's errbacks those of its members.

    As in Celery, errbacks of a chord are also those of chords that are members of its header.
    """
    kind = kind_of(step)
    if kind == GROUP and links:
        raise TypeError("a group has no end that a callback could be linked to: use a chord, chord(group, callback)")
    if kind == GROUP:
        return _with_tasks(step, [_linked(member, (), errbacks) for member in members_of(step)])
    if kind == CHORD:
        kwargs = step["kwargs"]
        header = _with_errbacks_of_chords(kwargs["header"], errbacks)
        return {**step, "kwargs": {**kwargs, "header": header, "body": _linked(kwargs["body"], links, errbacks)}}
    options = dict(step.get("options") or {})
    for name, more in (("link", links), ("link_error", errbacks)):
        known = as_list(options.get(name))
        known += [one for one in more if one not in known]
        if known:
            options[name] = known
    return {**step, "options": options}
