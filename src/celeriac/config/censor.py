"""What may be shown of a value in reports, logs and errors: no passwords, keys or tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "********"

# Celery's pattern for names of secrets (celery.app.utils.HIDDEN_SETTINGS), so that reports hide the same.
_SECRET_NAME: Final = re.compile(
    r"API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE|BEAT_DBURI", re.IGNORECASE
)
# Names that the pattern hits by accident.
_HARMLESS: Final = frozenset(
    {"task_default_routing_key", "routing_key", "cassandra_keyspace", "global_keyprefix"}
)

_NEXT_URL: Final = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")
# Up to the last @: passwords hold any character when people forget to quote them.
_URL_PASSWORD: Final = re.compile(r"(://[^:/@\s]*):[^\s]*@")
_QUERY_SECRET: Final = re.compile(r"([?&][^=&\s]*(?:pass|secret|token|key)[^=&\s]*=)[^&\s]+", re.IGNORECASE)


def mask_url(text: str) -> str:
    """A URL, or several joined by `;`, with the passwords hidden. Other text comes back as it is.

    Example:
        >>> mask_url("redis://me:secret@db:6379/0")
        'redis://me:********@db:6379/0'
    """
    if "://" not in text:
        return text
    urls = _NEXT_URL.split(text)
    return ";".join(_QUERY_SECRET.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}@", url)) for url in urls)


def censor(name: str, value: Any) -> Any:
    """`value` as it may be shown under `name`; mappings and sequences are looked through."""
    if value is None or isinstance(value, bool | int | float):
        is_pin = not isinstance(value, bool) and value is not None and "pass" in name.lower()
        return MASK if is_pin else value
    if _SECRET_NAME.search(name) and name not in _HARMLESS:
        return MASK
    if isinstance(value, str):
        return mask_url(value)
    if isinstance(value, Mapping):
        return {key: censor(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return (
            type(value)([censor(name, inner) for inner in value]) if type(value) in {list, tuple} else value
        )
    return value
