"""The model of workflows that other tests measure Celeriac by: real Celery agrees with it on these."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any, Final

import pytest

from integration.workflows.model import expect
from integration.workflows.sights import agrees
from integration.workflows.trees import Chain, Chord, Errback, Group, Node, Task
from interop.pairs import ON_REDIS, Pair

A, B, C, D, E, F = (Task(label) for label in "abcdef")
NEW, OLD = Errback("new", "new"), Errback("old", "old")
BAD: Final = Task("bad", fails=True)
OWN: Final = Task("own", immutable=True, args=("x",))

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
    "error in body": Chord((A, B), BAD, errbacks=(NEW, OLD)),
    "error in chain in header": Chord((Chain((BAD, A)), B), Task("c", errbacks=(NEW,))),
    "error in replaced": Task("a", replacement=BAD, errbacks=(OLD,)),
}

#: With a chord as the first step of a chain Celery drops the keyword arguments that the chain is called with. It also
#: turns groups in a header round, so these are not compared here.
LOSE_KWARGS: Final = {"chord then task", "chord then group", "chord then chord"}


@ON_REDIS
@pytest.mark.parametrize("name", TREES)
def test_celery_agrees(pair: Pair, name: str) -> None:
    tree = TREES[name]
    kwargs = {} if name in LOSE_KWARGS else {"z": 9}
    run, expected = uuid.uuid4().hex, expect(tree, (7,), kwargs)
    result: Any = pair.celery.call("send_tree", tree=tree, run=run, args=(7,), kwargs=kwargs)
    came = pair.celery.call("see", result=result, timeout=10)
    noted = pair.place.journal.take(run, expected.notes.total())
    assert Counter(noted + pair.place.journal.rest(run)) == expected.notes
    assert agrees(came, expected.ending), f"came to {came}, not to {expected.ending}"
