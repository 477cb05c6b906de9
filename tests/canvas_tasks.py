"""Tasks that workflows are made of, for tests of signatures."""

from __future__ import annotations

from typing import Any, NamedTuple

from celeriac import CoroutineTask, Task


class Tasks(NamedTuple):
    """They note in `seen` what they were called with."""

    add: Task[[int, int], int]
    total: Task[[list[int]], int]
    echo: Task[..., Any]
    boom: Task[..., Any]
    later: CoroutineTask[[int, int], int]
    seen: list[tuple[str, Any]]
