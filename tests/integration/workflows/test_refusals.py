"""Workflows that can not be: refused where they are sent, with what to do instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac, chain, chord, group
from celeriac.exceptions import NotSupported
from integration.workflows.running import DEADLINE, running
from integration.workflows.trees import Chord, Task

#: Workflows that need a place to join chords.
NEED_JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "chord": lambda one, other: chord([one, one], other),
    "group and task": lambda one, other: group([one, one]) | other,
    "in a chain": lambda one, other: chain(one, group([one, one]), other),
}


@pytest.mark.parametrize("backend", ["rpc://", "disabled://"])
@pytest.mark.parametrize("kind", NEED_JOINS)
def test_chords_need_a_store(rabbit_url: str, backend: str, kind: str) -> None:
    with Celeriac("refusals", set_as_current=False, broker=rabbit_url, backend=backend) as app:
        one = app.signature("one", immutable=True)
        with pytest.raises(NotSupported, match="result_backend"):
            NEED_JOINS[kind](one, app.signature("other"))()


def test_chords_run_where_results_are_not_stored_and_the_broker_joins() -> None:
    with running("memory://no-results", "disabled://") as site:
        site.build(Chord((Task("a"), Task("b")), Task("body")), "run").apply_async()
        wanted = Counter(["a()", "b()", "body([a(), b()])"])
        assert site.journal.wait("run", wanted, DEADLINE) == wanted


def test_a_group_has_no_end_to_link_to() -> None:
    with Celeriac("refusals", set_as_current=False, broker="memory://refusals") as app:
        members = group([app.signature("one"), app.signature("two")])
        with pytest.raises(TypeError, match="chord"):
            members.apply_async(link=app.signature("three"))


def test_what_is_no_signature_is_refused() -> None:
    with Celeriac("refusals", set_as_current=False, broker="memory://refusals") as app, pytest.raises(TypeError):
        chain(app.signature("one"), "two")()  # type: ignore[arg-type]


def test_a_chord_without_a_body_is_refused() -> None:
    with Celeriac("refusals", set_as_current=False, broker="memory://refusals") as app:
        headless = chord([app.signature("one")])
        with pytest.raises(TypeError, match="body"):
            headless.apply_async()
