"""Checks of single values that a type can not express. Each returns the value to keep or raises ValueError.

The text of the ValueError says what is expected; `convert` puts the name and the value before it.
"""

from __future__ import annotations

import re

from celeriac.config.names import nearest


def time_zone(name: str) -> str:
    """A name of the time zone database. `UTC` needs no database."""
    if name.upper() == "UTC":
        return "UTC"
    import zoneinfo  # noqa: PLC0415 - start-up time

    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: the name of a directory, as in "Europe"
        known = zoneinfo.available_timezones()
        if not known:
            raise ValueError("'UTC'; there is no time zone database here: pip install tzdata") from None
        guess = nearest(name, known)
        hint = f": did you mean {guess[0]!r}?" if guess else ", such as 'Europe/Berlin'"
        raise ValueError(f"the name of a time zone{hint}") from None
    return name


def log_level(level: int | str) -> int | str:
    """A level of `logging`, by number or by name (in any case)."""
    if isinstance(level, int):
        return level
    import logging  # noqa: PLC0415 - start-up time

    names = logging.getLevelNamesMapping()
    if level.upper() not in names:
        raise ValueError(f"a log level: {', '.join(names)}")
    return level.upper()


_RATE = r"\s*\d+(\.\d+)?\s*(/\s*[smh]\s*)?"


def rate(limit: float | str) -> float | str:
    """`10/s`, `100/m`, `1000/h`, or a number a second."""
    if isinstance(limit, str) and not re.fullmatch(_RATE, limit):
        raise ValueError("a rate such as '10/s', '100/m' or '1000/h'")
    return limit
