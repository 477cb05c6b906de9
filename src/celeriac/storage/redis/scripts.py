"""Lua scripts in files: loading them, and the names by which a server knows them.

A script is text and checksum; `Links.run` and `AsyncLink.run` execute it by its checksum and send the text only to a
server that does not know it (a fresh one, or after SCRIPT FLUSH).
"""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files

import msgspec


class Script(msgspec.Struct, frozen=True):
    """A Lua script.

    Attributes:
        name: of its file, for errors.
        text: what the server runs.
        sha: what the server calls it.
    """

    name: str
    text: str
    sha: str


@functools.cache
def load_script(package: str, name: str, includes: tuple[tuple[str, str], ...] = ()) -> Script:
    """Read `name`.lua in `package`, behind the files it builds on.

    Args:
        package: dotted name of the package whose folder has the file.
        name: of the file, without `.lua`.
        includes: packages and names of files with functions that it uses, in their order.

    Example:
        >>> load_script("celeriac.brokers.redis", "renew", (("celeriac.brokers.redis", "lease"),)).name
        'renew'
    """
    parts = [_read(where, what) for where, what in (*includes, (package, name))]
    text = "\n".join(parts)
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(package: str, name: str) -> str:
    return files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8")
