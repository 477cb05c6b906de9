"""From publications to what is pushed: envelopes, and where each goes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from celeriac.exceptions import ImproperlyConfigured, StoreRefused
from celeriac.message import MAX_PRIORITY, MIN_PRIORITY
from celeriac.storage.codec import priority_level
from celeriac.storage.redis.envelope import seal
from celeriac.storage.redis.keys import RESERVED

if TYPE_CHECKING:
    from celeriac.message import Publication
    from celeriac.storage.redis.commands import Arg
    from celeriac.storage.redis.keys import Keys

_places: Final = itertools.count()
#: Digits of a place's number; it may begin anew as often as it likes, the time before it has gone on.
_PLACES: Final = 16**6
#: Names of queues that are remembered as good.
_MOST_CHECKED: Final = 1000


class Layout:
    """Where messages are put: names, and the list for each priority.

    Args:
        keys: names of keys.
        steps: the lowest priority of each list, ascending from 0.

    Raises:
        ImproperlyConfigured: these are no steps.
    """

    def __init__(self, keys: Keys, steps: Sequence[int]) -> None:
        if not _are_steps(steps):
            raise ImproperlyConfigured(
                f"the transport option priority_steps is {steps!r}; it is a list of priorities from 0 to 9, ascending "
                "from 0, such as [0, 3, 6, 9]"
            )
        self.keys = keys
        self.steps = tuple(steps)
        #: Names that were looked at, so that a queue in use costs nothing.
        self._checked: set[str] = set()
        self._step_of = [max(step for step in self.steps if step <= level) for level in range(10)]

    def step(self, priority: int) -> int:
        """The step whose list takes messages of this priority."""
        return self._step_of[priority_level(priority)]

    def check_name(self, queue: str) -> None:
        """Refuse a queue whose keys would be others'.

        Raises:
            StoreRefused: it has the separator in its name, or begins as keys of Celeriac or kombu do.
        """
        if queue in self._checked:
            return
        if self.keys.separator in queue or queue.startswith(RESERVED) or not _is_utf8(queue):
            raise StoreRefused(
                f"a queue on Redis can not be called {queue!r}: names must not begin with "
                f"{' or '.join(map(repr, RESERVED))}, nor have the separator "
                f"{self.keys.separator!r} or lone surrogates in them"
            )
        if len(self._checked) < _MOST_CHECKED:
            self._checked.add(queue)

    def lists(self, queue: str) -> list[str]:
        """All lists of a queue, first to be taken from first."""
        return [self.keys.list(queue, step) for step in self.steps]

    def pushed(self, publications: Sequence[Publication], now: float) -> list[Arg]:
        """The arguments of `push` for each: queue, step, due, place, envelope.

        Args:
            publications: what to send.
            now: Unix time; what was due before goes into its list at once.

        Raises:
            EncodeError: a value in headers or properties has no JSON form.
            StoreRefused: a queue can not have such a name.
        """
        arguments: list[Arg] = []
        for one in publications:
            self.check_name(one.queue)
            due = due_text(one.not_before, now)
            envelope = seal(one.message, one.queue, one.priority)
            arguments += (one.queue, self.step(one.priority), due, place() if due else "", envelope)
        return arguments


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _are_steps(steps: object) -> bool:
    return (
        isinstance(steps, Sequence)
        and all(type(step) is int and MIN_PRIORITY <= step <= MAX_PRIORITY for step in steps)
        and list(steps[:1]) == [MIN_PRIORITY]
        and list(steps) == sorted(set(steps))
    )


def due_text(not_before: float | None, now: float) -> str:
    """The time for `push`; empty for what may be taken at once."""
    if not_before is None or not not_before > now:  # this way round for NaN
        return ""
    return repr(float(not_before))


def place() -> str:
    """A text that sorts behind those of this process before it; among processes by their clocks."""
    return f"{time.time_ns():016x}{next(_places) % _PLACES:06x}"
