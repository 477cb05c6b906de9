"""The app and its tasks: all that the worker needs to know."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from celeriac import Celeriac, Task

app = Celeriac("wordcount")

#: One file in this many fails at its first attempt, so that there are retries to look at.
FLAKY_ONE_IN = 8


class FileCount(TypedDict):
    """What is known of one file."""

    path: str
    words: int
    lines: int
    retries: int


def is_flaky(path: str) -> bool:
    """This file fails at its first attempt. It follows from the name alone, so every run fails alike."""
    return hashlib.sha256(Path(path).name.encode()).digest()[0] % FLAKY_ONE_IN == 0


@app.task(bind=True, autoretry_for=(OSError,), max_retries=3, default_retry_delay=0.5)
def count_file(self: Task[..., FileCount], path: str) -> FileCount:
    """Count one file. Runs in a process of its own; an `OSError` is tried again after half a second."""
    retries = self.request.retries
    if retries == 0 and is_flaky(path):
        raise OSError(f"pretending that {Path(path).name} can not be read at the moment")
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    return FileCount(path=path, words=len(text.split()), lines=len(text.splitlines()), retries=retries)


@app.task
async def measure(paths: Sequence[str]) -> int:
    """Add up the sizes of many files in bytes. A coroutine: the worker runs it on an event loop, unasked."""
    stats = await asyncio.gather(*(asyncio.to_thread(Path(path).stat) for path in paths))
    return sum(stat.st_size for stat in stats)
