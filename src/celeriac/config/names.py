"""Nearness of names, for "did you mean". Knows nothing of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, closeness: float = 0.6, limit: int = 3) -> list[str]:
    """The names that `name` may be a misspelling of, nearest first.

    Args:
        closeness: from 0 (anything) to 1 (only the same).
        limit: at most so many.

    Example:
        >>> nearest("task_ack_late", ["task_acks_late", "task_annotations"])
        ['task_acks_late']
    """
    import difflib  # noqa: PLC0415 - only errors need it

    found = difflib.get_close_matches(name, sorted(known), n=limit, cutoff=closeness)
    if not found:
        return []
    # Others that are clearly farther away than the best would only distract from it.
    best = difflib.SequenceMatcher(None, name, found[0]).ratio()
    return [each for each in found if difflib.SequenceMatcher(None, name, each).ratio() >= best - 0.08]


def did_you_mean(names: list[str]) -> str:
    """`did you mean 'a' or 'b'?`, or nothing without names."""
    return f"did you mean {' or '.join(repr(name) for name in names)}?" if names else ""
