"""The names that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def near_names(name: str, known: Iterable[str], *, count: int = 1, cutoff: float = 0.75) -> list[str]:
    """Those of `known` that `name` may be a misspelling of, nearest first.

    Args:
        name: what was written.
        known: what could have been.
        count: how many at most.
        cutoff: likeness that is needed, from 0 to 1.

    Example:
        >>> near_names("coutndown", ["countdown", "queue"])
        ['countdown']
    """
    from difflib import get_close_matches  # noqa: PLC0415 - start-up time: only errors need it

    return get_close_matches(name, list(known), n=count, cutoff=cutoff)
