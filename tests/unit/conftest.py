"""An app on a memory broker of its own, and a worker for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from celeriac import Celeriac
from celeriac.testing import VirtualClock
from hand_worker import HandWorker

_numbers = count()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def app(clock: VirtualClock) -> Iterator[Celeriac]:
    with Celeriac("tests", broker=f"memory://unit-{next(_numbers)}", clock=clock) as made:
        yield made


@pytest.fixture
def worker(app: Celeriac) -> HandWorker:
    return HandWorker(app)
