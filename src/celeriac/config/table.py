"""What a row of the settings table is, and how a section of rows is declared.

A section is a class whose annotated attributes are made by `setting(...)`. When the class is created each
attribute is replaced by its plain default, so that reading a setting costs no more than reading any
attribute, and the rest of the row is kept aside. Type annotations stay text until somebody asks for them:
most programs set a handful of settings, and resolving all of them would cost more than importing them.

Knows nothing of values that users set (`settings`), where they come from (`load`) or how they are checked
(`convert`).
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar, cast

T = TypeVar("T")

#: What a setting may wait for.
Later = Literal[
    "autoscaling",
    "beat",
    "control",
    "daemons",
    "deduplication",
    "events",
    "network",
    "prefetch",
    "rate limits",
    "security",
    "stores",
    "tracebacks",
]

#: The same in words, to follow "takes effect once ... there".
LATER: Final[dict[Later, str]] = {
    "autoscaling": "autoscaling is",
    "beat": "the scheduler (beat) is",
    "control": "remote control is",
    "daemons": "running in the background is",
    "deduplication": "skipping of tasks that have succeeded before is",
    "events": "events are",
    "network": "finer control of connections is",
    "prefetch": "limits on prefetching are",
    "rate limits": "rate limits are",
    "security": "signed messages are",
    "stores": "the result backend of this name is",
    "tracebacks": "tracebacks that travel with an exception are",
}

# The names that annotations of settings may use. The section files import them for type checkers only.
_TYPE_NAMES: Final[dict[str, Any]] = {"Any": Any, "Callable": Callable, "Literal": Literal, "Sequence": Sequence}


class SettingInfo(NamedTuple):
    """One row of the table.

    Attributes:
        name: the lower-case name.
        section: the class that declares it.
        default: its value when nobody sets it.
        doc: what it does, in one line.
        unit: `s`, `ms`, `bytes`, `KiB`, `path` or nothing. Durations (`s`, `ms`) can be set by a timedelta as
            well.
        old: Celery's upper-case names for it.
        later: what must be built before it takes effect, a key of `LATER`.
        moot: why it is accepted but never has an effect here.
        own: it is ours; Celery does not have it.
        since: the first version that has it.
        at_least: the smallest number allowed.
        at_most: the largest number allowed.
        above: numbers must be larger than this.
        aliases: values that stand for others, `{"processes": "prefork"}`.
        refused: values of Celery's that have no counterpart here, each with what to do instead.
        expects: what may be written, in words, where the type does not say it well.
        check: called with the converted value; returns it, or raises ValueError with what is expected.
    """

    name: str
    section: type[Section]
    default: Any
    doc: str
    unit: str = ""
    old: tuple[str, ...] = ()
    later: Later | None = None
    moot: str = ""
    own: bool = False
    since: str = "0.1"
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    aliases: Mapping[Any, Any] = {}
    refused: Mapping[Any, str] = {}
    expects: str = ""
    check: Callable[[Any], Any] | None = None

    @property
    def is_active(self) -> bool:
        """Whether setting it changes anything in this version."""
        return self.later is None and not self.moot

    @property
    def availability(self) -> str:
        """Why it has no effect (yet), in words; empty when it has."""
        if self.later is not None:
            return f"takes effect once {LATER[self.later]} there"
        return f"no effect: {self.moot}" if self.moot else ""

    @property
    def type_text(self) -> str:
        """The annotation as it is written, `float | None`."""
        return str(self.section.__annotations__[self.name])

    @property
    def type(self) -> Any:
        """The annotation as a type. Resolved for the whole section at the first call."""
        hints = _HINTS.get(self.section)
        if hints is None:
            hints = _HINTS[self.section] = typing.get_type_hints(self.section, _TYPE_NAMES, {})
        return hints[self.name]


_HINTS: Final[dict[type, dict[str, Any]]] = {}


class Section:
    """Base of the sections; `title` is the heading in the reference.

    Example:
        >>> class Demo(Section, title="Demo"):
        ...     demo_speed: float = setting(1.0, "How fast.", unit="s", above=0)
        >>> Demo().demo_speed
        1.0
        >>> [row.name for row in rows_of(Demo)]
        ['demo_speed']
    """

    def __init_subclass__(cls, *, title: str = "", intro: str = "") -> None:
        super().__init_subclass__()
        rows = [
            value._replace(name=name, section=cls)
            for name, value in vars(cls).items()
            if isinstance(value, SettingInfo)
        ]
        for row in rows:
            setattr(cls, row.name, _FreshDict(row) if isinstance(row.default, dict) else row.default)
        _ROWS[cls] = tuple(rows)
        _HEADINGS[cls] = (title, intro)


_ROWS: Final[dict[type[Section], tuple[SettingInfo, ...]]] = {}
_HEADINGS: Final[dict[type[Section], tuple[str, str]]] = {}


def rows_of(section: type[Section]) -> tuple[SettingInfo, ...]:
    """The rows that a section declares, in their order."""
    return _ROWS[section]


def heading_of(section: type[Section]) -> tuple[str, str]:
    """The title of a section and the sentence under it."""
    return _HEADINGS[section]


class _FreshDict:
    """A default that can be changed in place: every reader gets a copy of its own, made at the first read."""

    def __init__(self, row: SettingInfo) -> None:
        self._row = row

    def __get__(self, instance: object | None, owner: type | None = None) -> dict[Any, Any]:
        fresh = dict(self._row.default)
        if instance is None:
            return fresh
        # setdefault, not assignment: of two threads that read first, both must get the same dictionary
        kept: dict[Any, Any] = vars(instance).setdefault(self._row.name, fresh)
        return kept


def setting(
    default: T,
    doc: str,
    *,
    unit: str = "",
    old: tuple[str, ...] = (),
    later: Later | None = None,
    moot: str = "",
    own: bool = False,
    since: str = "0.1",
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    aliases: Mapping[Any, Any] | None = None,
    refused: Mapping[Any, str] | None = None,
    expects: str = "",
    check: Callable[[Any], Any] | None = None,
) -> T:
    """Declare one setting in a section; the arguments are the fields of `SettingInfo`.

    Returns:
        For type checkers the default; at run time the row, which `Section` takes apart.
    """
    row = SettingInfo(
        name="",  # the class that is being made gives it its name, and itself
        section=Section,
        default=default,
        doc=doc,
        unit=unit,
        old=old,
        later=later,
        moot=moot,
        own=own,
        since=since,
        at_least=at_least,
        at_most=at_most,
        above=above,
        aliases=aliases or {},
        refused=refused or {},
        expects=expects,
        check=check,
    )
    return cast("T", row)
