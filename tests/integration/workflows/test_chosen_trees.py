"""Each kind of workflow on each of the stores comes to what the model says."""

from __future__ import annotations

import pytest

from integration.workflows.chosen import MORE_TREES, TREES
from integration.workflows.running import Site

ALL = TREES | MORE_TREES


@pytest.mark.parametrize("name", ALL)
def test_it_comes_to_what_the_model_says(site: Site, name: str) -> None:
    site.check(ALL[name])


@pytest.mark.parametrize("name", TREES)
def test_arguments_go_to_what_runs_first(site: Site, name: str) -> None:
    site.check(TREES[name], (7,), {"z": 9})
