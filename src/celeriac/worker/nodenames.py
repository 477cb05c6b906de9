"""Node names of workers (`celeriac@host`) and the `%` abbreviations in names and file names.

Owns the two formats and nothing else: it knows neither apps nor options.

In a node name: `%h` host name with domain, `%n` host name without it, `%d` domain, `%%` a percent sign. In a
file name: `%n` the part of the node name before the `@`, `%h` and `%d` of the part after it, `%p` the whole
node name, `%i` the number of the executor (0 in the supervisor), `%I` the same as `-1`, or nothing in the
supervisor.
"""

from __future__ import annotations

import functools
import re
import socket
from typing import TYPE_CHECKING, Final

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NAME: Final = "celeriac"
SEPARATOR: Final = "@"

_ABBREVIATION: Final = re.compile(r"%(.?)", re.DOTALL)
#: In a name without an `@` these mark the text as the host part, as Celery reads it.
_HOST_MARKS: Final = ("%h", "%n", "%d")


@functools.cache
def gethostname() -> str:
    """This machine's name, asked for once."""
    return socket.gethostname()


def split_nodename(name: str) -> tuple[str, str]:
    """Return the parts before and after the `@`; what is missing is empty.

    Example:
        >>> split_nodename("w1@example.com")
        ('w1', 'example.com')
    """
    before, separator, after = name.partition(SEPARATOR)
    return (before, after) if separator else ("", before)


def default_nodename(hostname: str | None = None) -> str:
    """Return the node name that `-n hostname` asks for.

    Args:
        hostname: `name@host`, a name alone, a host made of abbreviations alone, or None.

    Raises:
        ImproperlyConfigured: an unknown abbreviation.

    Example:
        >>> default_nodename("w1@box")
        'w1@box'
    """
    text = hostname or ""
    if SEPARATOR in text or any(mark in text for mark in _HOST_MARKS):
        name, host = split_nodename(text)
    else:
        name, host = text, ""
    return host_format(f"{name or DEFAULT_NAME}{SEPARATOR}{host or gethostname()}")


def host_format(text: str, *, host: str | None = None) -> str:
    """Expand `%h`, `%n`, `%d` and `%%` for a machine, this one by default.

    Raises:
        ImproperlyConfigured: an unknown abbreviation.
    """
    host = host or gethostname()
    short, _, domain = host.partition(".")
    return _expand(text, {"h": host, "n": short, "d": domain})


def node_format(text: str, nodename: str, *, index: int = 0) -> str:
    """Expand the abbreviations of a file name for one worker.

    Args:
        text: for example `/var/log/%n%I.log`.
        nodename: the worker's full name.
        index: number of the executor, 0 for the supervisor.

    Raises:
        ImproperlyConfigured: an unknown abbreviation.

    Example:
        >>> node_format("/var/log/%n%I.log", "w1@example.com", index=2)
        '/var/log/w1-2.log'
    """
    name, host = split_nodename(nodename)
    return _expand(
        text,
        {
            "h": host,
            "n": name or DEFAULT_NAME,
            "d": host.partition(".")[2],
            "p": nodename,
            "i": str(index),
            "I": f"-{index}" if index else "",
        },
    )


def _expand(text: str, values: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        key = match.group(1)
        if key == "%":
            return "%"
        if key not in values:
            known = " ".join(f"%{name}" for name in values)
            raise ImproperlyConfigured(f"unknown abbreviation {match.group()!r} in {text!r}: use {known} or %%")
        return values[key]

    return _ABBREVIATION.sub(replace, text)
