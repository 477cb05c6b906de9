"""What a result of either side shows, in the words of the model. Knows neither Celery nor Celeriac."""

from __future__ import annotations

import time
from typing import Any

from integration.workflows.flow_tasks import blamed
from integration.workflows.model import Ending, Failure, Many, Value, collapse


def seen_of(result: Any, end: float) -> Ending:
    """What a result comes to until `end` (monotonic time).

    Raises:
        AssertionError: it is not done by then.
    """
    members = getattr(result, "results", None)
    if members is not None:
        return Many(tuple(seen_of(member, end) for member in members))
    try:
        value = result.get(timeout=max(end - time.monotonic(), 0.01), propagate=False)
    except Exception as error:
        raise AssertionError(f"{result!r} is {result.state}: {error!r}") from error
    if result.successful():
        return Value(value)
    label, _, depth = blamed(result.result).partition("^")
    return Failure(label, int(depth or 0))


def agrees(came: Ending, expected: Ending) -> bool:
    """It is as expected. A group inside a group may show its members, or be one that gives the list of them."""
    if not isinstance(expected, Many):
        return came == expected
    if not isinstance(came, Many):
        return came == collapse(expected)
    pairs = zip(came.endings, expected.endings, strict=False)
    return len(came.endings) == len(expected.endings) and all(agrees(*pair) for pair in pairs)
