"""Workflows whose tasks run on both sides by turns, sent by either: each role of each kind is on each side."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from typing import Any

import pytest

from celeriac import chain, chord, group, result_from_tuple
from integration.workflows.chosen import TREES, placed
from integration.workflows.model import expect
from integration.workflows.sights import agrees, seen_of
from integration.workflows.trees import Node, Words, build
from interop.pairs import Pair
from interop.sides import SideName

#: Seconds for one workflow.
DEADLINE = 15.0

SENDERS = pytest.mark.parametrize("sender", ["celery", "celeriac"])
#: Who runs the first task, and the third, and so on.
FIRST = pytest.mark.parametrize("queues", [("celery", "celeriac"), ("celeriac", "celery")], ids=lambda names: names[0])


def send(pair: Pair, sender: SideName, tree: Node, run: str) -> Any:
    """Send a workflow; its result as a tuple."""
    if sender == "celery":
        return pair.celery.call("send_tree", tree=tree, run=run, args=(), kwargs={})
    words = Words(pair.celeriac.app, chain, group, chord)
    return build(tree, words, run).apply_async().as_tuple()


def check(pair: Pair, sender: SideName, tree: Node) -> None:
    """Run a workflow; what both sides see of it, and what has run, must be what the model says."""
    run, expected = uuid.uuid4().hex, expect(tree)
    result = send(pair, sender, tree, run)
    by_celery = pair.celery.call("see", result=result, timeout=DEADLINE)
    by_celeriac = seen_of(result_from_tuple(result, pair.celeriac.app), time.monotonic() + DEADLINE)
    noted = pair.place.journal.take(run, expected.notes.total())
    assert Counter(noted + pair.place.journal.rest(run)) == expected.notes
    assert agrees(by_celery, expected.ending), f"came to {by_celery}, not to {expected.ending}"
    assert agrees(by_celeriac, expected.ending), f"came to {by_celeriac}, not to {expected.ending}"


@SENDERS
@FIRST
@pytest.mark.parametrize("name", TREES)
def test_both_sides_take_part(pair: Pair, sender: SideName, queues: tuple[str, ...], name: str) -> None:
    check(pair, sender, placed(TREES[name], queues))
