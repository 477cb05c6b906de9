"""Workflows as plain data: trees of tasks, chains, groups and chords, and how each is built with the public API.

Used on both sides of the interop tests, in their environments: knows neither Celery nor Celeriac. What a tree must come
to is said in `model`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias


def _short(node: Any) -> str:
    """Only what is not as it is by default, so that a failing tree can be read."""
    fields = [
        f"{name}={part!r}" for name, part in node._asdict().items() if part != node._field_defaults.get(name, ...)
    ]
    return f"{type(node).__name__}({', '.join(fields)})"


class Errback(NamedTuple):
    """An error callback.

    Attributes:
        label: its name in the journal.
        style: `old` takes the failed task's id, `new` the request, the exception and the traceback.
        queue: where it is sent, if it is.
    """

    label: str
    style: str = "old"
    queue: str | None = None

    def __repr__(self) -> str:
        return _short(self)


class Task(NamedTuple):
    """One task. Its value is a text: its label, and in brackets what it was called with.

    Attributes:
        label: its name in values, errors and the journal; different for each task of a tree.
        fails: it raises `ValueError(label)` after it has been noted.
        immutable: it takes nothing but its own arguments.
        args: its own positional arguments; what comes in goes before them.
        kwargs: its own keyword arguments, as pairs.
        links: tasks that are called with its value.
        errbacks: what is called when it fails.
        retries: how often it asks to be run again before it does anything.
        is_async: it is an `async def`.
        replacement: what it puts in its own place instead of returning.
        queue: where it is sent.
    """

    label: str
    fails: bool = False
    immutable: bool = False
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    links: tuple[Task, ...] = ()
    errbacks: tuple[Errback, ...] = ()
    retries: int = 0
    is_async: bool = False
    replacement: Node | None = None
    queue: str | None = None

    def __repr__(self) -> str:
        return _short(self)


class Chain(NamedTuple):
    """One after the other, each with the value of the one before.

    Attributes:
        steps: at least two.
        piped: made with `|`, else with `chain(...)`.
        links: called with the value of the last step, which has to be a task then.
        errbacks: set on the chain.
    """

    steps: tuple[Node, ...]
    piped: bool = False
    links: tuple[Task, ...] = ()
    errbacks: tuple[Errback, ...] = ()

    def __repr__(self) -> str:
        return _short(self)


class Group(NamedTuple):
    """All at once; its value is the list of theirs.

    Attributes:
        members: any number.
        lazy: made of a generator.
        errbacks: set on the group.
    """

    members: tuple[Node, ...]
    lazy: bool = False
    errbacks: tuple[Errback, ...] = ()

    def __repr__(self) -> str:
        return _short(self)


class Chord(NamedTuple):
    """A header, and a body that is called with the list of its values.

    Attributes:
        header: the members.
        body: what follows.
        listed: the header is given as a list, else as a group.
        links: set on the chord: called with the value of the body, whose last step has to be a task then.
        errbacks: set on the chord.
    """

    header: tuple[Node, ...]
    body: Node
    listed: bool = True
    links: tuple[Task, ...] = ()
    errbacks: tuple[Errback, ...] = ()

    def __repr__(self) -> str:
        return _short(self)


Node: TypeAlias = Task | Chain | Group | Chord

_CLASSES: Final[dict[str, Callable[..., Any]]] = {each.__name__: each for each in (Errback, Task, Chain, Group, Chord)}


def encode(value: Any) -> Any:
    """A tree, or a part of one, as JSON."""
    if isinstance(value, Errback | Task | Chain | Group | Chord):
        fields = {
            name: encode(part) for name, part in value._asdict().items() if part != value._field_defaults.get(name, ...)
        }
        return {"is": type(value).__name__, **fields}
    return [encode(part) for part in value] if isinstance(value, list | tuple) else value


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, dict):
        fields = {name: decode(part) for name, part in value.items() if name != "is"}
        return _CLASSES[value["is"]](**fields)
    return tuple(decode(part) for part in value) if isinstance(value, list) else value


class Words(NamedTuple):
    """The words of one side.

    Attributes:
        app: the app that has the tasks (see `flow_tasks`).
        chain: the class.
        group: the class.
        chord: the class.
    """

    app: Any
    chain: Callable[..., Any]
    group: Callable[..., Any]
    chord: Callable[..., Any]


def build(node: Node | Errback, words: Words, run: str) -> Any:
    """Make the signature.

    Args:
        node: of what.
        words: with the words of which side.
        run: under which name its tasks shall note that they run.
    """
    made = _build_bare(node, words, run)
    if not isinstance(node, Errback):
        for link in () if isinstance(node, Group) else node.links:
            made.link(build(link, words, run))
        for errback in node.errbacks:
            made.link_error(build(errback, words, run))
    return made


def _build_bare(node: Node | Errback, words: Words, run: str) -> Any:
    if isinstance(node, Errback):
        kwargs = {"label": node.label, "run": run}
        return words.app.signature(f"flow.{node.style}", kwargs=kwargs, **_placing(node))
    if isinstance(node, Task):
        return _build_task(node, words, run)
    if isinstance(node, Chain):
        steps = [build(step, words, run) for step in node.steps]
        return _piped(steps) if node.piped else words.chain(*steps)
    if isinstance(node, Group):
        members = [build(member, words, run) for member in node.members]
        return words.group((one for one in members) if node.lazy else members, app=words.app)
    header = [build(member, words, run) for member in node.header]
    body = build(node.body, words, run)
    return words.chord(header if node.listed else words.group(header, app=words.app), body, app=words.app)


def _build_task(node: Task, words: Words, run: str) -> Any:
    kwargs = {**dict(node.kwargs), "label": node.label, "run": run}
    name = "flow.anote" if node.is_async else "flow.note"
    if node.fails:
        name = "flow.fail"
    elif node.replacement is not None:
        name, kwargs["tree"] = "flow.replace", encode(node.replacement)
    elif node.retries:
        name, kwargs["retries"] = "flow.again", node.retries
    return words.app.signature(name, node.args, kwargs, **_placing(node), immutable=node.immutable)


def _placing(node: Task | Errback) -> dict[str, Any]:
    return {} if node.queue is None else {"queue": node.queue}


def _piped(steps: Sequence[Any]) -> Any:
    made = steps[0]
    for step in steps[1:]:
        made = made | step
    return made
