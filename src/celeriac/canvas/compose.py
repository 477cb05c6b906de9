"""The rules of `|`: what two signatures become together, by Celery's rules.

The left side is seen as a list of steps to which the right side is added, so that `chain(*many)` is one pass:

| last step | what comes | together |
| --- | --- | --- |
| any | an empty group | the last step |
| any | a group of one | as if it were that one |
| any | a chain | its tasks, one after the other |
| a group | a task or chord | a chord of the two; if a chord stands before it, it goes on with this one |
| a chord | a task or a group | that chord, whose body goes on with it |
| any other | any other | two steps |

What stands alone on the left of `|` is different in this: a group with anything is a chord, also with a group or chain;
a chord goes on with a task or chord inside its body, but a group or chain is a step after it.

Owns these rules. Signatures on the left are copied, those on the right go in as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from celeriac.canvas.chain import chain
from celeriac.canvas.chord import chord
from celeriac.canvas.group import alone, group
from celeriac.canvas.signature import Rules, Signature

Node = Signature[Any]


def join(left: Node, right: Node) -> Node:
    """`left | right`."""
    if isinstance(left, chain):
        return _join_chain(left, right)
    if isinstance(left, group):
        return left if _is_empty(right) else chord(left, right, app=left.bound_app)
    if _is_empty(right):
        return chain_of([left], left)
    one = alone(right, reads=True)  # its members go into one message in any case
    if isinstance(left, chord) and (one is not right or not isinstance(right, group | chain)):
        twin = left.clone()
        twin.body = join(twin.body, one)
        return twin
    return chain_of([left, *(one.unchain_tasks() if isinstance(one, chain) else [one])], left)


def _join_chain(left: chain[Any], right: Node) -> Node:
    if _is_empty(right):
        return left
    steps = left.unchain_tasks()
    return add(steps, right, is_last=True) or chain_of(steps, left)


def fold(signatures: Iterable[Node]) -> Node:
    """`chain(*signatures)`."""
    given = list(signatures)
    steps: list[Node] = []
    for position, one in enumerate(given):
        together = add(steps, one, is_last=position == len(given) - 1)
        if together is not None:
            for later in given[position + 1 :]:
                together = join(together, later)
            return together
    return chain_of(steps, None)


def add(steps: list[Node], right: Node, *, is_last: bool) -> Node | None:
    """Add `right` to `steps`, in place.

    Args:
        steps: what is there; nobody else's.
        right: what comes.
        is_last: nothing comes after it, so that it need not be copied.

    Returns:
        None; or, if that is no list of steps any more, what it became: a group, before which there is nothing.
    """
    right = alone(right, reads=True)  # as above
    if _is_empty(right):
        return None
    if isinstance(right, chain):
        return _add_all(steps, right.unchain_tasks())
    mine = right if is_last else right.clone()
    last = steps[-1] if steps else None
    if isinstance(right, group) and last is None:
        return mine
    if isinstance(last, group) and not isinstance(right, group):
        _close_group(steps, chord(last, mine, app=last.bound_app))
    elif isinstance(last, chord) and not isinstance(right, chord):
        last.body = join(last.body, mine)
    else:
        steps.append(mine)
    return None


def _add_all(steps: list[Node], tasks: list[Node]) -> Node | None:
    """Add the tasks of a chain, which are copies already."""
    for position, task in enumerate(tasks):
        together = add(steps, task, is_last=True)
        if together is not None:
            for later in tasks[position + 1 :]:
                together = join(together, later)
            return together
    return None


def _close_group(steps: list[Node], closed: chord[Any]) -> None:
    """Put a chord in the place of the group that is its header; a chord before it goes on with it."""
    steps[-1] = closed
    before = steps[-2] if len(steps) > 1 else None
    if isinstance(before, chord):
        before.body = join(before.body, steps.pop())


def chain_of(steps: list[Node], model: Node | None) -> chain[Any]:
    """A chain of just these steps, for the app that `model` belongs to."""
    made: chain[Any] = chain(app=model.bound_app if model is not None else None)
    made["kwargs"]["tasks"] = steps
    return made


def _is_empty(signature: Node) -> bool:
    return isinstance(signature, group) and signature.is_empty


Signature.rules = Rules(join, fold)
