"""The model of workflows that other tests measure Celeriac by: real Celery agrees with it on these."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any, Final

import pytest

from integration.workflows.chosen import TREES
from integration.workflows.model import expect
from integration.workflows.sights import agrees
from interop.pairs import ON_REDIS, Pair

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
