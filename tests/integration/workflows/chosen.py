"""Workflows that show one thing each: every rule by which Celery makes one kind of workflow of another, and errors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Final

from integration.workflows.trees import Chain, Chord, Errback, Group, Node, Task

A, B, C, D, E, F = (Task(label) for label in "abcdef")
NEW, OLD = Errback("new", "new"), Errback("old", "old")
BAD: Final = Task("bad", fails=True)
OWN: Final = Task("own", immutable=True, args=("x",))

#: Workflows of all kinds by what they show.
TREES: Final[dict[str, Node]] = {
    "task": Task("a", args=(1,), kwargs=(("k", 2),)),
    "task, immutable": OWN,
    "task with links": Task("a", links=(B, Task("own", immutable=True, args=(1,)), Task("c", args=(2,), links=(D,)))),
    "chain": Chain((A, Task("b", args=(1,)), Task("c", kwargs=(("k", 2),)))),
    "chain, piped": Chain((A, B, C), piped=True),
    "chain, immutable step": Chain((A, OWN, B)),
    "chain in chain": Chain((A, Chain((B, C)), D)),
    "chain in chain, first": Chain((Chain((A, B), piped=True), C), piped=True),
    "chain with link": Chain((A, B), links=(C,)),
    "group": Group((A, B, C)),
    "group of a generator": Group((A, B, C), lazy=True),
    "group, one": Group((A,)),
    "group in group": Group((A, Group((B, C)), D)),
    "chain in group": Group((Chain((A, B)), C)),
    "chain that ends in group": Chain((A, Group((B, C)))),
    "chain that ends in group, piped": Chain((A, B, Group((C, D))), piped=True),
    "group then task": Chain((Group((A, B)), C)),
    "group then task, piped": Chain((Group((A, B)), C), piped=True),
    "group then chain, piped": Chain((Group((A, B)), Chain((C, D))), piped=True),
    "group of one then task": Chain((Group((A,)), B)),
    "group of one then task, piped": Chain((Group((A,)), B), piped=True),
    "group of one in chain": Chain((A, Group((B,)), C)),
    "group of one in chain, piped": Chain((A, Group((B,)), C), piped=True),
    "group of one at the end": Chain((A, Group((B,)))),
    "empty group in chain": Chain((A, Group(()), B)),
    "empty group first": Chain((Group(()), A, B)),
    "task, group, task": Chain((A, Group((B, C)), D)),
    "task, group, task, group, task": Chain((A, Group((B, C)), D, Group((E, F)), Task("g"))),
    "group then group": Chain((Group((A, B)), Group((C, D)))),
    "group then group, piped": Chain((Group((A, B)), Group((C, D))), piped=True),
    "group then group of one, piped": Chain((Group((A, B)), Group((C,))), piped=True),
    "group, group, task": Chain((Group((A, B)), Group((C, D)), E)),
    "chord": Chord((A, B), C),
    "chord, header a group": Chord((A, B), C, listed=False),
    "chord of one": Chord((A,), B),
    "chord of none": Chord((), A),
    "chord with chain as body": Chord((A, B), Chain((C, D))),
    "chord with group as body": Chord((A, B), Group((C, D))),
    "chord with link": Chord((A, B), C, links=(D,)),
    "chord then task": Chain((Chord((A, B), C), D)),
    "chord then task, piped": Chain((Chord((A, B), C), D), piped=True),
    "chord then group": Chain((Chord((A, B), C), Group((D, E)))),
    "chord then chord": Chain((Chord((A, B), C), Chord((D, E), F))),
    "chain in header": Chord((Chain((A, B)), C), D),
    "chain that ends in group in header": Chord((Chain((A, Group((B, C)))), D), E),
    "chord in header": Chord((Chord((A, B), C), D), E),
    "chord in body": Chord((A, B), Chord((C, D), E)),
    "chord in chain in header": Chord((Chain((A, Chord((B, C), D))), E), F),
    "immutable body": Chord((A, B), OWN),
    "retry in chain": Chain((A, Task("b", retries=1), C)),
    "retry in header": Chord((A, Task("b", retries=1)), C),
    "replaced by task": Chain((Task("a", replacement=B), C)),
    "replaced by chain": Chain((Task("a", replacement=Chain((B, C))), D)),
    "replaced by group": Chain((Task("a", replacement=Group((B, C))), D)),
    "replaced by chord": Chain((Task("a", replacement=Chord((B, C), D)), E)),
    "replaced in header": Chord((Task("a", replacement=Chain((B, C))), D), E),
    "replaced in header by group": Chord((Task("a", replacement=Group((B, C))), D), E),
    "replaced with link": Task("a", replacement=B, links=(C,)),
    "error": Task("bad", fails=True, errbacks=(NEW, OLD), links=(A,)),
    "error first in chain": Chain((BAD, A, B), errbacks=(NEW, OLD)),
    "error in the middle of a chain": Chain((A, BAD, B), errbacks=(OLD,)),
    "error of a step with its own errback": Chain((A, Task("bad", fails=True, errbacks=(NEW,)), B)),
    "error in group": Group((A, Task("bad", fails=True, errbacks=(NEW,)))),
    "errback on group": Group((A, BAD), errbacks=(NEW,)),
    "error in header": Chord((A, BAD), B, errbacks=(NEW, OLD)),
    "error in header, chain as body": Chord((A, BAD), Chain((B, C)), errbacks=(OLD,)),
    "error in header, group of one first in the body": Chord((A, BAD), Chain((Group((B,)), C)), errbacks=(OLD,)),
    "error in body": Chord((A, B), BAD, errbacks=(NEW, OLD)),
    "error in chain in header": Chord((Chain((BAD, A)), B), Task("c", errbacks=(NEW,))),
    "error in replaced": Task("a", replacement=BAD, errbacks=(OLD,)),
}


#: Beside them, what Celery does not get right in all of its versions.
MORE_TREES: Final[dict[str, Node]] = {
    "empty group": Group(()),
    "group in header keeps the order": Chord((Group((A, B)), C, Group((D, E))), F),
    "groups in groups keep the order": Group((A, Group((B, Group((C, D)))), E)),
    "one member that ends in a group": Group((Chain((A, Group((B, C)))),)),
    "chord of none with chain as body": Chord((), Chain((A, B))),
    "chord of none in a header": Chord((Chord((), A), B), C),
    "chord of none in a chain": Chain((A, Chord((), B), C)),
    "group after chord with group as body": Chain((Chord((A,), Group((B, C))), Group((D, E)), F)),
    "error before a group": Chain((BAD, Group((A, B))), errbacks=(NEW,)),
    "error before a chord": Chain((BAD, Chord((A, B), C)), errbacks=(NEW,)),
    "error before group and task": Chain((A, BAD, Group((B, C)), D), errbacks=(OLD,)),
    "error in header, group as body": Chord((A, BAD), Group((B, Task("c", errbacks=(OLD,)))), errbacks=(NEW,)),
    "error in header, chord as body": Chord((A, BAD), Chord((B, C), D), errbacks=(NEW,)),
    "error in header, then group and task": Chain((Chord((A, BAD), B), Group((C, D)), E), errbacks=(NEW,)),
    "error in nested header": Chord((Chord((A, BAD), Task("b", errbacks=(OLD,))), C), D, errbacks=(NEW,)),
    "error in nested body": Chord((Chord((A, B), BAD), C), D, errbacks=(NEW,)),
    "error three chords down": Chord((Chord((Chord((BAD,), A),), B),), Task("c", errbacks=(NEW,))),
    "error in nested header, errback on a chain": Chain((A, Chord((Chord((B, BAD), C), D), E)), errbacks=(OLD,)),
    "error in a group before a chord, errback on the chain": Chain(
        (Chain((A, Group((B, BAD)))), Chord((C, D), E)), errbacks=(OLD,)
    ),
    "error in a group as body before a step, errback on the chain": Chain(
        (Chord((A, B), Group((C, BAD))), D), errbacks=(OLD,)
    ),
    "error in a group of one group before a chord, errback on the chain": Chain(
        (Group((Group((A, BAD)),)), Chord((B, C), D)), errbacks=(OLD,)
    ),
    "error in a header that begins an inner chain, errback on that": Chain(
        (Chain((Group((A, BAD)), B), errbacks=(OLD,)), C)
    ),
    "error in a header in an inner chain, errback on that": Chain(
        (Chain((Chain((A, Group((B, BAD)))), C), errbacks=(OLD,)), D)
    ),
    "error in a group of an inner chain, errback on that": Chain(
        (A, Chain((B, Group((C, BAD)), Group((D, E))), errbacks=(OLD,)))
    ),
    "error in nested header that replaced": Task("a", replacement=Chord((Chord((BAD,), B), C), D), errbacks=(OLD,)),
    "error in nested header, group as body": Chord(
        (Chord((A, BAD), Group((B, Task("c", errbacks=(OLD,))))), D), E, errbacks=(NEW,)
    ),
    "error in group then group, in header": Chord(
        (Chain((Group((A, BAD)), Group((B, C)), Group((D, Task("e", errbacks=(OLD,)))))), F), Task("g"), errbacks=(NEW,)
    ),
    "error in group in header": Chord((Chain((A, Group((B, BAD)))), C), D, errbacks=(NEW,)),
    "error in chord in chain in header": Chord((Chain((A, Chord((B, BAD), C), D)), E), F, errbacks=(NEW,)),
    "two errors in header": Chord((A, BAD, Task("worse", fails=True)), B, errbacks=(NEW,)),
    "all of a header fail": Chord((BAD, Task("worse", fails=True)), B, errbacks=(OLD, NEW)),
    "error in group then group": Chain((Group((A, BAD)), Group((B, C))), errbacks=(NEW,)),
    "errback on header member and on body": Chord(
        (Task("bad", fails=True, errbacks=(OLD,)), A), Task("b", errbacks=(NEW,))
    ),
    "errbacks of a failing link": Task("a", links=(Task("bad", fails=True, errbacks=(NEW,)),)),
    "replaced twice": Chain((Task("a", replacement=Task("b", replacement=C)), D)),
    "replaced by what ends in a group": Chain((Task("a", replacement=Chain((B, Group((C, D))))), E)),
    "replaced at the end by a group": Chain((A, Task("b", replacement=Group((C, D))))),
    "replaced in header by chord": Chord((Task("a", replacement=Chord((B, C), D)), E), F),
    "replaced in header twice": Chord((Task("a", replacement=Task("b", replacement=Group((C, D)))), E), F),
    "replaced body": Chord((A, B), Task("c", replacement=Chain((D, E)))),
    "replaced body in header": Chord((Chord((A,), Task("b", replacement=Group((C, D)))), E), F),
    "error in what replaced a member": Chord((Task("a", replacement=Chain((BAD, B))), C), D, errbacks=(NEW,)),
    "error in a group that replaced": Chain((Task("a", replacement=Group((BAD, B))), C), errbacks=(NEW,)),
    "coroutines": Chain((Task("a", is_async=True), Group((Task("b", is_async=True), C)), Task("d", is_async=True))),
    "coroutine in header and body": Chord((Task("a", is_async=True), B), Task("c", is_async=True)),
}


def placed(tree: Node, queues: tuple[str, ...]) -> Node:
    """The same tree with its tasks on these queues by turns, each link and errback on another than its task."""
    return _Placing(queues).node(tree)


class _Placing:
    def __init__(self, queues: tuple[str, ...]) -> None:
        self._queues: Iterator[str] = cycle(queues)

    def node(self, node: Node) -> Node:
        if isinstance(node, Task):
            return self._task(node)
        errbacks = self._errbacks(node.errbacks)
        if isinstance(node, Group):
            return node._replace(members=tuple(map(self.node, node.members)), errbacks=errbacks)
        if isinstance(node, Chain):
            steps = tuple(map(self.node, node.steps))
            return node._replace(steps=steps, links=tuple(map(self._task, node.links)), errbacks=errbacks)
        header, body = tuple(map(self.node, node.header)), self.node(node.body)
        return node._replace(header=header, body=body, links=tuple(map(self._task, node.links)), errbacks=errbacks)

    def _task(self, node: Task) -> Task:
        queue = next(self._queues)
        replacement = None if node.replacement is None else self.node(node.replacement)
        links = tuple(map(self._task, node.links))
        return node._replace(queue=queue, links=links, errbacks=self._errbacks(node.errbacks), replacement=replacement)

    def _errbacks(self, errbacks: tuple[Errback, ...]) -> tuple[Errback, ...]:
        return tuple(errback._replace(queue=next(self._queues)) for errback in errbacks)
