"""How long waiters put up with a Redis that is away."""

from __future__ import annotations

import time

import pytest

from celeriac.backends.outage import Outage
from celeriac.exceptions import OperationalError


def test_an_outage_is_over_when_the_store_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    outage, error = Outage(20.0), OperationalError("away")
    assert not outage.goes_on(error)
    assert outage.error is error
    now += 19
    assert not outage.goes_on(error)
    outage.is_over()
    now += 5
    assert not outage.goes_on(error)
    now += 20
    assert outage.goes_on(error)


def test_pauses_grow_and_have_a_bound() -> None:
    outage = Outage(20.0)
    pauses = [outage.next_pause() for _ in range(20)]
    assert pauses[0] <= 0.05
    assert all(0.5 <= pause <= 1.0 for pause in pauses[8:])
    outage.is_over()
    assert outage.next_pause() <= 0.05
