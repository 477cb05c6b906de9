"""What a workflow must come to, in plain Python: its value, what runs with which arguments, which errbacks are called.

Says what Celery's documents and its worker say; where Celery's own versions differ from each other or leave a workflow
hanging, what users expect: nothing hangs, and nobody is told twice. Runs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from integration.workflows.flow_tasks import told
from integration.workflows.trees import Chain, Chord, Errback, Group, Node, Task


class Value(NamedTuple):
    """It succeeds, with this value."""

    value: Any


class Failure(NamedTuple):
    """It fails.

    Attributes:
        label: of the task whose failure it is.
        depth: how many chords have passed it on, each as a `ChordError` about the one before.
    """

    label: str
    depth: int = 0

    def __str__(self) -> str:
        return f"{self.label}^{self.depth}" if self.depth else self.label


class Many(NamedTuple):
    """What the members of a group come to.

    Attributes:
        endings: of each.
        began: they were run, or might have been; else all of them fail with what was before.
    """

    endings: tuple[Ending, ...]
    began: bool = True


Ending: TypeAlias = Value | Failure | Many


class Expected(NamedTuple):
    """All that can be said of a workflow before it runs.

    Attributes:
        ending: what it comes to.
        notes: what its tasks and errbacks note, and how often.
    """

    ending: Ending
    notes: Counter[str]


def expect(tree: Node, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Expected:
    """Say what `tree` must come to when it is sent with these arguments."""
    run = _Run()
    ending = run.node(resolve(tree), _Given(tuple(args), dict(kwargs or {})))
    return Expected(ending, run.notes)


def collapse(ending: Ending) -> Value | Failure:
    """A member of a header that is a group itself gives one value: the list of its members', or the first failure."""
    if not isinstance(ending, Many):
        return ending
    parts = [collapse(part) for part in ending.endings]
    values = []
    for part in parts:
        if isinstance(part, Failure):
            return Failure(part.label, part.depth + ending.began)
        values.append(part.value)
    return Value(values)


#: What a replaced task is where a group has taken its place: the list of the group's values.
_LIST: Final = Task("")


def _is_list(node: Task) -> bool:
    return node == _LIST._replace(links=node.links, errbacks=node.errbacks)


def _with_one_end(node: Node) -> Node:
    line = line_of(node)
    if not line or isinstance(line[-1], Task):
        return node
    if isinstance(node, Group):
        return Chord(node.members, _LIST)
    return Chain((node, _LIST))


# -- errbacks: from where they are set to the tasks that call them -----------------------------------------------------


def resolve(node: Node, *, in_chain: bool = False) -> Node:
    """The same tree with all links and errbacks on its tasks.

    Args:
        node: the tree.
        in_chain: it is a step of a chain. Errbacks of a chain there are set on its steps as they are then.
    """
    if isinstance(node, Task):
        return node
    if isinstance(node, Chain):
        steps = tuple(resolve(step, in_chain=True) for step in node.steps)
        made: Node = node._replace(steps=steps, links=(), errbacks=())
    elif isinstance(node, Group):
        made = node._replace(members=tuple(map(resolve, node.members)), errbacks=())
    else:
        header = tuple(map(resolve, node.header))
        made = node._replace(header=header, body=resolve(node.body), links=(), errbacks=())
    if not isinstance(node, Group):
        made = _with_links(made, node.links)
    if in_chain and isinstance(made, Chain) and not made.piped:  # | has made its chords already
        return _with_errbacks_as_written(made, node.errbacks)
    return _with_errbacks(made, node.errbacks)


def _with_errbacks_as_written(chain: Chain, errbacks: tuple[Errback, ...]) -> Node:
    """On the steps of what `chain(...)` builds: a group is a header by then if a task follows, or if it is first."""
    steps = list(steps_of(chain))
    made: list[Node] = []
    for index, step in enumerate(steps):
        later = steps[index + 1 :]
        if isinstance(step, Group) and later and (index == 0 or not isinstance(later[0], Group)):
            made.append(_with_errbacks_of_header(step, errbacks))
        else:
            made.append(_with_errbacks(step, errbacks))
    return chain._replace(steps=tuple(made))


def _with_links(node: Node, links: tuple[Task, ...]) -> Node:
    if not links:
        return node
    if isinstance(node, Task):
        return node._replace(links=node.links + links)
    if isinstance(node, Chain):
        return node._replace(steps=(*node.steps[:-1], _with_links(node.steps[-1], links)))
    assert isinstance(node, Chord), "a group takes no links"
    return node._replace(body=_with_links(node.body, links))


def _with_errbacks(node: Node, errbacks: tuple[Errback, ...], *, is_last: bool = True) -> Node:
    """Celery's `link_error`: on each step of a chain and each member of a group; of a chord, on the body.

    Args:
        node: on what.
        errbacks: which.
        is_last: nothing comes after it in a chain; else a group at its end is a header.
    """
    if not errbacks:
        return node
    if isinstance(node, Task):
        return node._replace(errbacks=node.errbacks + errbacks)
    if isinstance(node, Group):
        if not is_last:
            return _with_errbacks_of_header(node, errbacks)
        return node._replace(members=tuple(_with_errbacks(member, errbacks) for member in node.members))
    if isinstance(node, Chain):
        last, kept = len(node.steps) - 1, _kept_as_written(node)
        steps = [
            _step_with_errbacks(step, errbacks, is_last=is_last and index == last, is_kept=index < kept)
            for index, step in enumerate(node.steps)
        ]
        return node._replace(steps=tuple(steps))
    header = _with_errbacks_of_header(Group(node.header), errbacks)
    assert isinstance(header, Group)
    return node._replace(header=header.members, body=_with_errbacks(node.body, errbacks, is_last=is_last))


def _step_with_errbacks(step: Node, errbacks: tuple[Errback, ...], *, is_last: bool, is_kept: bool) -> Node:
    """A step of a chain. A group of one is that one, unless it is kept as written."""
    if is_last or is_kept or not isinstance(step, Group) or len(step.members) != 1:
        return _with_errbacks(step, errbacks, is_last=is_last)
    return step._replace(members=(_with_errbacks(step.members[0], errbacks, is_last=False),))


def _with_errbacks_of_header(group: Group, errbacks: tuple[Errback, ...]) -> Node:
    """Those of a chord go to its header's members only where these are chords themselves."""
    members = [_with_errbacks(one, errbacks) if _is_chord(one) else one for one in group.members]
    return group._replace(members=tuple(members))


def _is_chord(node: Node) -> bool:
    """It is a chord as built: also where `|`, or a chain that begins with a group, has made one of it."""
    if not isinstance(node, Chain):
        return isinstance(node, Chord)
    steps = list(node.steps) if node.piped else list(steps_of(node))
    made: type[Node] = type(steps[0])
    if made is Chain or (made is Chord and not node.piped):
        made = Chord if node.piped and _is_chord(steps[0]) else Chain
    for step in steps[1:]:
        alone = step.members[0] if isinstance(step, Group) and len(step.members) == 1 else step
        if made is Group:
            made = Group if step == Group(()) else Chord
        elif made is not Chord or not (isinstance(alone, Task) or _is_chord(alone)):
            made = Chain
    return made is Chord


# -- the run -----------------------------------------------------------------------------------------------------------


class _Given(NamedTuple):
    """What comes in."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


class _Run:
    """One run of a tree whose links and errbacks are on its tasks."""

    def __init__(self) -> None:
        self.notes: Counter[str] = Counter()

    def node(self, node: Node, given: _Given) -> Ending:
        """What this node comes to."""
        line = line_of(node)
        ending: Ending = Value(None)
        for index, step in enumerate(line):
            if index:
                came = collapse(ending)
                if isinstance(came, Failure):
                    is_body = isinstance(ending, Many)
                    return self._fail(line[index:], came) if is_body else _skipped(line[-1], came)
                given = _Given((came.value,))
            ending = self._task(step, given) if isinstance(step, Task) else self._group(step, given)
        return ending

    def _group(self, group: Group, given: _Given) -> Ending:
        return Many(tuple(self.node(member, given) for member in flat(group)))

    def _task(self, node: Task, given: _Given) -> Ending:
        args, kwargs = node.args, dict(node.kwargs)
        if not node.immutable:
            args, kwargs = (*given.args, *args), {**kwargs, **given.kwargs}
        if _is_list(node):
            return self._succeed(node, args[0])
        text = told(node.label, args, kwargs)
        self.notes[text] += 1
        if node.fails:
            return self._fail([node], Failure(node.label))
        if node.replacement is not None:
            made = _with_links(_with_one_end(resolve(node.replacement)), node.links)
            return self.node(_with_errbacks(made, node.errbacks), _Given())
        return self._succeed(node, text)

    def _succeed(self, node: Task, value: Any) -> Ending:
        for link in node.links:
            self._task(link, _Given((value,)))
        return Value(value)

    def _fail(self, line: Sequence[Task | Group], failure: Failure) -> Ending:
        """What would have begun here fails: errbacks are called for it, but not for what comes after it in a chain.

        A chord that would have begun fails as its body, or as its header where that only gives a list.
        """
        first = next((index for index, step in enumerate(line) if isinstance(step, Task)), len(line) - 1)
        step, last = line[first], line[-1]
        if isinstance(step, Group):
            return Many(tuple(self._fail(line_of(member), failure) for member in flat(step)), began=False)
        gathered = line[first - 1] if first and _is_list(step) else None
        for member in flat(gathered) if isinstance(gathered, Group) else ():
            self._fail(line_of(member), failure)
        for errback in dict.fromkeys(step.errbacks):
            self.notes[f"{errback.label}!" if errback.style == "old" else f"{errback.label}! {failure}"] += 1
        return _skipped(last, failure)


def _skipped(step: Task | Group, failure: Failure) -> Ending:
    """What is after a failure in a chain fails with it; its errbacks are not called."""
    if isinstance(step, Task):
        return failure
    return Many(tuple(_skipped(line_of(member)[-1], failure) for member in flat(step)), began=False)


# -- Celery's rules of upgrading ---------------------------------------------------------------------------------------


def line_of(node: Node) -> list[Task | Group]:
    """What comes after what: a group that is followed by anything is the header of a chord with that as its body."""
    if isinstance(node, Task | Group):
        return [node]
    if isinstance(node, Chord):
        return [Group(node.header), *line_of(node.body)]
    return [part for step in steps_of(node) for part in line_of(step)]


def flat(group: Group) -> Iterator[Node]:
    """Groups in a group are one with it."""
    for member in group.members:
        if isinstance(member, Group):
            yield from flat(member)
        else:
            yield member


def steps_of(chain: Chain) -> Iterator[Node]:
    """Chains in a chain are one with it; in it, empty groups count for nothing, those of one member for that one."""
    as_written = _kept_as_written(chain)
    for index, step in enumerate(chain.steps):
        if index and isinstance(step, Group) and not step.members:
            continue  # left out, so what comes after it is what follows
        if isinstance(step, Group) and as_written:
            yield step
        else:
            yield from _unrolled(step)
        as_written = max(0, as_written - 1)


def _kept_as_written(chain: Chain) -> int:
    """How many steps stay groups even of one member.

    `|` makes a chord of a group and what follows it, and so does `chain(...)` if it begins with a group of several.
    """
    first = chain.steps[0]
    return 2 if isinstance(first, Group) and (chain.piped or len(first.members) > 1) else 0


def _unrolled(step: Node) -> Iterator[Node]:
    if isinstance(step, Chain):
        yield from steps_of(step)
    elif isinstance(step, Group) and len(step.members) == 1:
        yield from _unrolled(step.members[0])
    elif not isinstance(step, Group) or step.members:
        yield step
