"""What is known of a chord is kept until its last member is due, whatever the others say before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from celeriac.backends.base import Backend
from celeriac.backends.memory import MemoryBackend
from celeriac.backends.sqlite import SQLiteBackend
from celeriac.chords import ChordShare, ChordStart
from celeriac.testing import VirtualClock

_numbers = count()
#: Seconds.
HOUR: Final = 3600.0


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> Iterator[Backend]:
    made: Backend
    if request.param == "memory":
        made = MemoryBackend(f"times-{next(_numbers)}", clock=clock)
    else:
        made = SQLiteBackend(str(tmp_path / "queue.sqlite3"), clock=clock)
    yield made
    made.disconnect()


def test_a_share_does_not_shorten_the_time_of_a_member_that_is_due_later(backend: Backend, clock: VirtualClock) -> None:
    async def run() -> None:
        chords = backend.chords
        assert chords is not None
        chords.start_chords([ChordStart("g", 2, 50 * HOUR, b"body", None, "q")])  # one of them is due in two days
        await chords.add_shares([ChordShare("g", "a", 0, b"1", b"body", None, "q", 2 * HOUR)])
        clock.advance(48 * HOUR)
        await backend.sweep()
        await chords.add_shares([ChordShare("g", "b", 1, b"2", b"body", None, "q", 2 * HOUR)])
        (claimed,) = await chords.claim_chords(["q"], 10, 60)
        assert (claimed.group_id, (await chords.achord_state("g")).parts) == ("g", (b"1", b"2"))

    asyncio.run(run())
