"""Signatures have Celery's form and are shown as Celery shows them, whatever is put together."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import celeriac
from celeriac import Celeriac
from interop import canvas_forms
from interop.canvas_forms import Words, evaluated

if TYPE_CHECKING:
    from scripts.environments import Environment

Seen = dict[str, dict[str, Any]]
_TESTS: Final = Path(__file__).resolve().parents[1]

_DROPPED: Final = "an empty group is dropped at once; Celery drops it when the chain is sent"
_SPLICED: Final = "a group of one chain is that chain's tasks at once; Celery splices them when the chain is sent"
_NO_COPIES: Final = (
    "Celery copies the body into each task of a frozen header, which grows exponentially with chords inside chords, "
    "and takes the copies out again before it sends them"
)
_LAZY: Final = "what is shown of a generator: Celery has read a few items, Celeriac none or all"

#: Where the forms differ, and why.
_OTHER_FORM: Final = {
    **{f"{left} | empty group": _DROPPED for left in ("task", "immutable", "chord", "chord to group", "map")},
    **{f"{left} | group of a chain": _SPLICED for left in ("task", "immutable", "map")},
    "frozen chord": _NO_COPIES,
    "frozen chain to a chord": _NO_COPIES,
    "frozen chord with a chain for a body": _NO_COPIES,
}
#: Where only the repr differs.
_SHOWN_OTHERWISE: Final = dict.fromkeys(
    ("group of a generator", "chord of a generator", "group of chunks", "chunks of a generator", "skew"), _LAZY
)


@pytest.fixture(scope="module")
def theirs(celery_environment: Environment) -> Seen:
    """What Celery makes of the expressions."""
    done = subprocess.run(
        [celery_environment.python, "-W", "ignore", "-m", canvas_forms.__name__],
        cwd=_TESTS,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    seen: Seen = json.loads(done.stdout)
    return seen


@pytest.fixture(scope="module")
def ours() -> Seen:
    """What Celeriac makes of them."""
    with Celeriac("forms", broker="memory://forms", set_as_current=False) as app:
        seen: Seen = json.loads(json.dumps(evaluated(Words(celeriac, app))))
        return seen


def test_the_expressions_are_evaluated_on_both_sides(theirs: Seen, ours: Seen) -> None:
    assert theirs.keys() == ours.keys()
    assert len(ours) > 200
    assert not [name for name in ours if "error" in ours[name] or "error" in theirs[name]]


def test_the_forms_are_celerys(theirs: Seen, ours: Seen) -> None:
    different = {name for name in ours if ours[name]["form"] != theirs[name]["form"]}
    assert different == set(_OTHER_FORM)


def test_they_are_shown_as_celery_shows_them(theirs: Seen, ours: Seen) -> None:
    different = {name for name in ours if ours[name]["shown"] != theirs[name]["shown"]}
    assert different - set(_OTHER_FORM) == set(_SHOWN_OTHERWISE)
