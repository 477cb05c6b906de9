"""What values options of tasks and of calls may have, where their types do not say it; and the check itself.

Owns the rules that both kinds of options share and the form of the errors. Names of options belong to
`celeriac.task_options` and `celeriac.call_options`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from celeriac.config.convert import fit
from celeriac.config.queues import as_queue, is_queue
from celeriac.entities import Queue
from celeriac.protocol import parse_iso

#: Beyond it a moment would lie outside the calendar sooner or later; nobody means it.
LONGEST_SECONDS: Final = 100 * 365.25 * 24 * 3600


class Rule(NamedTuple):
    """One option; the fields are those of a setting.

    Attributes:
        name: of the option.
        type: as in the table of options; `rules_of` puts it in.
        default: of no meaning here.
        unit: `s` takes a timedelta, too.
        at_least: the smallest number allowed.
        at_most: the largest number allowed.
        above: numbers must be larger than this.
        aliases: values that stand for others.
        refused: of no meaning here.
        expects: what may be given, in words, where the type does not say it well.
        check: called with the fitting value; returns the one to keep, or raises with what is expected.
    """

    name: str = ""
    type: Any = None
    default: Any = None
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    aliases: Mapping[Any, Any] = {}
    refused: Mapping[Any, str] = {}
    expects: str = ""
    check: Callable[[Any], Any] | None = None


def rules_of(options: type, details: Mapping[str, Rule]) -> dict[str, Rule]:
    """A rule for each option of a TypedDict: its type from there, unless `details` name another, the rest from them."""
    hints = typing.get_type_hints(options)
    rules = ((name, hint, details.get(name, Rule())) for name, hint in hints.items())
    return {name: rule._replace(name=name, type=rule.type or hint) for name, hint, rule in rules}


def checked_value(rule: Rule, value: Any, what: str) -> Any:
    """The value to keep for an option.

    Args:
        rule: the option's.
        value: as it was given.
        what: names the option in errors.

    Raises:
        TypeError: a value of another type.
        ValueError: a value that can not be.
    """
    try:
        return fit(rule, value)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what} is {value!r:.200} ({type(value).__name__}): expected {error}") from None


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("a name; leave the option out for the default")
    return text


def _queue(given: object) -> str | Queue:
    if isinstance(given, str):
        return _not_empty(given)
    if not is_queue(given):
        raise TypeError("the name of a queue, or a celeriac.Queue")
    return as_queue(given)


def _in_reach(moment: Any) -> Any:
    """Seconds that a calendar can add to now, a datetime, or ISO text."""
    if isinstance(moment, str):
        try:
            parse_iso(moment)
        except ValueError:
            raise ValueError("seconds, a timedelta, a datetime or its ISO text") from None
    elif isinstance(moment, int | float) and not -LONGEST_SECONDS <= moment <= LONGEST_SECONDS:
        raise ValueError("a number of seconds within 100 years")
    return moment


def exception_classes(given: type | Sequence[type]) -> tuple[type, ...]:
    """One exception class or several, as a tuple."""
    classes = (given,) if isinstance(given, type) else tuple(given)
    if not all(issubclass(each, BaseException) for each in classes):
        raise TypeError(EXCEPTION_CLASSES)
    return classes


SECONDS: Final = "a number of seconds or a timedelta"
EXCEPTION_CLASSES: Final = "an exception class, or a tuple of them"
NAME: Final = Rule(check=_not_empty)
QUEUE: Final = Rule(type=object, check=_queue)
LIMIT: Final = Rule(unit="s", above=0, expects=SECONDS)
COUNTDOWN: Final = Rule(unit="s", expects=SECONDS, check=_in_reach)
EXPIRES: Final = Rule(unit="s", expects="seconds, a timedelta, a datetime or its ISO text", check=_in_reach)
DURATION: Final = Rule(unit="s", at_least=0, expects=SECONDS, check=_in_reach)
COUNT: Final = Rule(at_least=0)
MAPPING: Final = Rule(type=Mapping[str, Any] | None, expects="a dictionary")
EXCEPTIONS: Final = Rule(expects=EXCEPTION_CLASSES, check=exception_classes)

#: Options that tasks and calls have in common.
SHARED_RULES: Final[Mapping[str, Rule]] = {
    "time_limit": LIMIT,
    "soft_time_limit": LIMIT,
    "priority": Rule(at_least=0, at_most=9, expects="a whole number"),
    "queue": QUEUE,
    "exchange": Rule(expects="the name of an exchange, or a celeriac.Exchange"),
    "routing_key": NAME,
    "serializer": NAME,
    "compression": NAME,
    "delivery_mode": Rule(type=Literal[1, 2] | None, aliases={"persistent": 2, "transient": 1}),
    "expires": EXPIRES,
}
