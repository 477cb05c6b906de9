"""Waiting for what a server will show soon, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .process import DEADLINE, ServerFailed

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], what: str, *, deadline: float = DEADLINE) -> T:
    """What `condition` gives, as soon as it is true.

    Raises:
        ServerFailed: it was not within `deadline` seconds.
    """
    end = time.monotonic() + deadline
    while not (found := condition()):
        if time.monotonic() > end:
            raise ServerFailed(f"not within {deadline:g} s: {what}")
        time.sleep(0.02)
    return found
