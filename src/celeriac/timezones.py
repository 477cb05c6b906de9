"""From the settings `timezone` and `enable_utc` to a timezone."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from celeriac.exceptions import ImproperlyConfigured


def timezone_of(name: str | tzinfo | None, enable_utc: bool) -> tzinfo:
    """The timezone of an app.

    Args:
        name: the setting `timezone`: a name of the IANA database, a timezone, or None.
        enable_utc: what None means: UTC, or the machine's timezone.

    Raises:
        ImproperlyConfigured: there is no such timezone.

    Example:
        >>> timezone_of(None, enable_utc=True)
        datetime.timezone.utc
    """
    if name is None:
        return UTC if enable_utc else _local()
    return _named(name) if isinstance(name, str) else name


def _local() -> tzinfo:
    zone = datetime.now(UTC).astimezone().tzinfo
    assert zone is not None
    return zone


@lru_cache(maxsize=16)
def _named(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - start-up time

    try:
        return UTC if name.upper() == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise ImproperlyConfigured(
            f"timezone={name!r}: there is no such timezone (names are as in 'Europe/Paris'). Where the system has no "
            "timezone database, install tzdata"
        ) from exc
