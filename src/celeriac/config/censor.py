"""What may be shown of a value in reports, logs and errors: no passwords, keys or tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "********"

# The patterns stay text until they are needed (`re` keeps what it has compiled): this module is imported by every
# program, and most never report anything.

# The same as Celery's, so that reports hide the same.
_HIDDEN_NAME: Final = "(?i)API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE|BEAT_DBURI"
# Names that it hits by accident.
_HARMLESS: Final = frozenset({"task_default_routing_key", "routing_key", "cassandra_keyspace", "global_keyprefix"})
_NEXT_URL: Final = r";(?=[A-Za-z][A-Za-z0-9+.-]*://)"
# Up to the last @: passwords hold any character, spaces too, when people forget to quote them.
_URL_LOGIN: Final = r"(?s)(://[^:/@\s]*):.*@"
_QUERY_LOGIN: Final = r"(?i)([?&][^=&\s]*(?:pass|secret|token|key)[^=&\s]*=)[^&]+"


def mask_url(text: str) -> str:
    """A URL, or several joined by `;`, with the passwords hidden. Other text comes back as it is.

    Example:
        >>> mask_url("redis://me:secret@db:6379/0")
        'redis://me:********@db:6379/0'
    """
    if "://" not in text:
        return text
    return ";".join(_mask_one(url) for url in re.split(_NEXT_URL, text))


def _mask_one(url: str) -> str:
    return re.sub(_QUERY_LOGIN, rf"\1{MASK}", re.sub(_URL_LOGIN, rf"\1:{MASK}@", url))


def censor(name: str, value: Any) -> Any:
    """`value` as it may be shown under `name`; dictionaries and lists are looked through."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return MASK if "pass" in name.lower() else value
    if re.search(_HIDDEN_NAME, name) and name not in _HARMLESS:
        return MASK
    if isinstance(value, str):
        return mask_url(value)
    if isinstance(value, Mapping):
        return {key: censor(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        shown = [censor(name, inner) for inner in value]
        return tuple(shown) if isinstance(value, tuple) else shown
    return value
