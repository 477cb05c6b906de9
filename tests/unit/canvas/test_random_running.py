"""Random workflows in place come to what the model says, as they do with workers: values, errors, errbacks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac import Celeriac
from integration.workflows.model import expect
from integration.workflows.running import Site
from integration.workflows.strategies import trees
from integration.workflows.trees import Node

_settings: Final = settings(
    max_examples=25, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Celeriac("in place", broker="memory://in-place", set_as_current=False, task_always_eager=True) as app:
        yield Site(app)


@_settings
@given(
    tree=trees(failures=False, replacements=False),
    args=st.lists(st.integers(0, 9), max_size=1),
    kwargs=st.dictionaries(st.just("z"), st.integers(0, 9)),
)
def test_what_succeeds(site: Site, tree: Node, args: list[Any], kwargs: dict[str, Any]) -> None:
    site.check(tree, args, kwargs)


@_settings
@given(tree=trees(replacements=False))
def test_what_may_fail(site: Site, tree: Node) -> None:
    site.check(tree)


@_settings
@given(tree=trees(replacements=False))
def test_what_may_fail_in_a_loop(site: Site, tree: Node) -> None:
    run = uuid.uuid4().hex
    site.compare(run, asyncio.run(site.build(tree, run).aapply_async()), expect(tree))
