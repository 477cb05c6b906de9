"""Random workflows come to what the model says: values, errors, what runs with which arguments, errbacks."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from integration.workflows.running import Site
from integration.workflows.strategies import trees
from integration.workflows.trees import Node

#: Trees for one store in the normal run, and in the long one.
EXAMPLES: Final = 40
LONG_EXAMPLES: Final = int(os.environ.get("CELERIAC_WORKFLOW_EXAMPLES", "1500"))

_CHECKS: Final = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
#: The same trees in every run. No deadline of Hypothesis's own: each tree has one in `Site.check`. What fails is not
#: made smaller: each smaller one that fails takes that whole deadline. The long run does it.
_normal: Final = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=_CHECKS,
    phases=(Phase.explicit, Phase.generate),
)
_long: Final = settings(max_examples=LONG_EXAMPLES, deadline=None, suppress_health_check=_CHECKS, print_blob=True)

_args: Final = st.lists(st.integers(0, 9), max_size=1)
_kwargs: Final = st.dictionaries(st.just("z"), st.integers(0, 9))


@_normal
@given(tree=trees(failures=False, replacements=False), args=_args, kwargs=_kwargs)
def test_what_succeeds(site: Site, tree: Node, args: list[Any], kwargs: dict[str, Any]) -> None:
    site.check(tree, args, kwargs)


@_normal
@given(tree=trees(replacements=False))
def test_what_may_fail(site: Site, tree: Node) -> None:
    site.check(tree)


@_normal
@given(tree=trees(failures=False))
def test_what_is_replaced(site: Site, tree: Node) -> None:
    site.check(tree)


@pytest.mark.long
@pytest.mark.timeout(1800)
@_long
@given(tree=trees(), args=_args, kwargs=_kwargs)
def test_many_of_all_kinds(site: Site, tree: Node, args: list[Any], kwargs: dict[str, Any]) -> None:
    site.check(tree, args, kwargs)
