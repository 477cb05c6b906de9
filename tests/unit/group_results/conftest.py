"""An app on a store of each kind: in memory and in a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from celeriac import Celeriac
from celeriac.testing import VirtualClock

_numbers = count()


@pytest.fixture(params=["memory", "sqlite"])
def app(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> Iterator[Celeriac]:
    url = f"memory://groups-{next(_numbers)}" if request.param == "memory" else f"sqlite:///{tmp_path}/groups.sqlite3"
    with Celeriac("tests", broker=url, clock=clock) as made:
        yield made
