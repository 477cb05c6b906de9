"""What to tell somebody who gives something else where a signature is wanted.

Owns the words. Knows tasks and results only by their methods.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Protocol, runtime_checkable


@runtime_checkable
class _Task(Protocol):
    name: str

    def s(self) -> object:
        """A signature."""


@runtime_checkable
class _Result(Protocol):
    id: str

    def get(self) -> object:
        """What it comes to."""


def no_signature(value: object) -> str:
    """Say what to write instead of `value`."""
    if isinstance(value, _Task):
        return f"task {value.name} stands where its signature is wanted: write {_last(value.name)}.s(...)"
    if isinstance(value, Coroutine):
        value.close()  # else Python warns that nobody awaits it
        return f"{value!r:.100} stands where a signature is wanted: write task.s(...), not task(...)"
    if isinstance(value, _Result):
        return f"{value!r:.100} has been sent already: write task.s(...), not task.delay(...)"
    if isinstance(value, str):
        return f"the text {value!r:.100} stands where a signature is wanted: write signature({value!r:.100})"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} stands where one signature is wanted: write group({value!r:.100})"
    if isinstance(value, Iterable):
        return f"{value!r:.100} stands where one signature is wanted: write group(...) of them"
    kind = type(value).__name__
    return f"expected a signature, not {value!r:.100} ({kind}): write task.s(...), since task(...) runs at once"


def _last(name: str) -> str:
    return name.rpartition(".")[2]
