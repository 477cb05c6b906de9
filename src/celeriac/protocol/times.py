"""Times as texts in headers: ISO 8601; without an offset they are UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_iso(text: str) -> datetime:
    """Return the aware datetime of an ISO 8601 text.

    Takes what Celery's readers take: `Z`, `+02:00`, `+0200`, a space for `T`, a bare date, the basic format, and more
    than six digits of a second's fraction. A text without an offset is UTC.

    Raises:
        ValueError: not such a text.

    Example:
        >>> parse_iso("2026-01-02T03:04:05Z")
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    """
    return assume_utc(datetime.fromisoformat(text))


def format_iso(moment: datetime) -> str:
    """Return the text that Celery would write: in the offset it has, the fraction only if there is one.

    Example:
        >>> format_iso(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        '2026-01-02T03:04:05+00:00'
    """
    return moment.isoformat()


def assume_utc(moment: datetime) -> datetime:
    """Return `moment` as an aware datetime; a naive one is UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
