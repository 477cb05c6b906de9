"""Trees of results, as far as signatures build them. Knows nothing of signatures."""

from __future__ import annotations

from celeriac.result import AnyResult


def origin_of(result: AnyResult) -> AnyResult:
    """The result that nothing comes before: the first one of a chain."""
    while result.parent is not None:
        result = result.parent
    return result
