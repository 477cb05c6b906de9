"""Warnings about settings: names to rename, and settings that have no effect in this version.

Owns their words and the place they point to. Knows nothing of how settings are read or kept.
"""

from __future__ import annotations

import sys
import warnings
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.config.schema import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from celeriac.config.settings import Settings
    from celeriac.config.table import SettingInfo

#: Lines of a list before "and N more".
_LISTED: Final = 10
#: Values that ask for nothing, whatever the default is.
_NOTHING: Final[tuple[Any, ...]] = ({}, (), "")
#: Their lines are not the user's, so that a warning must not point there.
_MACHINERY: Final = frozenset({"celeriac", "click", "runpy"})


class OldSettingNameWarning(FutureWarning):
    """Settings were given by Celery's old upper-case names. They are accepted; the text lists what to write
    instead.

    A FutureWarning, because Python shows those by default and hides a DeprecationWarning.
    """


class InactiveSettingWarning(UserWarning):
    """Settings were given that take effect in a later version only."""


class Source(NamedTuple):
    """What settings were read from.

    Attributes:
        name: of the module or object, as it may be shown; empty for a dictionary.
        file: where it was written, if that is known.
    """

    name: str = ""
    file: str | None = None


def source_of(asked: object, found: object) -> Source:
    """How to tell of a config source.

    Args:
        asked: what `load_settings` was given.
        found: the object that stands for.
    """
    name = asked if isinstance(asked, str) else getattr(found, "__name__", "")
    if isinstance(found, ModuleType):
        module: ModuleType | None = found
    elif isinstance(asked, str):
        module = sys.modules.get(asked.partition(":")[0]) or sys.modules.get(asked.rpartition(".")[0])
    else:
        module = sys.modules.get(found.__module__) if isinstance(found, type) else None
    return Source(str(name), getattr(module, "__file__", None))


def warn_about_old_names(renames: Mapping[str, str], source: Source) -> None:
    """Tell what to write instead, once for all names of one source.

    Args:
        renames: new names by old ones.
        source: where they were found.
    """
    where = f" in {source.name}" if source.name else ""
    lines = listed([f"{old} → {new}" for old, new in sorted(renames.items())])
    text = "\n  ".join((f"old names of settings{where}, please rename:", *lines))
    line = _line_of(renames, source.file) if source.file else 0
    if source.file and line:
        warnings.warn_explicit(text, OldSettingNameWarning, source.file, line)
    else:
        _warn_at_the_users_line(text, OldSettingNameWarning)


def inactive_settings(settings: Settings) -> list[SettingInfo]:
    """Those that somebody has set, to something else than the default, and that take effect in a later version only.

    Settings that never have an effect here are not among them: what they ask for is so, or is not needed.
    """
    return [
        row
        for name, value in settings.changed().items()
        if (row := TABLE[name]).later is not None and value != row.default and value not in _NOTHING
    ]


def warn_about_inactive(settings: Settings) -> None:
    """Tell in one warning which settings were set without effect. Meant for the start of a worker.

    Example:
        >>> from celeriac.config import Settings
        >>> with warnings.catch_warnings(record=True) as told:
        ...     warnings.simplefilter("always")
        ...     warn_about_inactive(Settings(task_send_sent_event=True))
        >>> print(told[0].message)
        set, without effect in this version: task_send_sent_event (`celeriac report` says more)
    """
    names = [row.name for row in inactive_settings(settings)]
    if names:
        text = f"set, without effect in this version: {', '.join(listed(names))} (`celeriac report` says more)"
        _warn_at_the_users_line(text, InactiveSettingWarning)


def listed(lines: Sequence[str], limit: int = _LISTED) -> list[str]:
    """`lines`, or the first of them and `and N more`."""
    if len(lines) <= limit + 1:  # "and 1 more" would take the place of that one
        return list(lines)
    return [*lines[:limit], f"and {len(lines) - limit} more"]


def _line_of(names: Iterable[str], file: str) -> int:
    """The first line that begins with one of these names; 0 if there is none."""
    from pathlib import Path  # noqa: PLC0415 - start-up time

    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # without it the warning points elsewhere, and says the same
        return 0
    heads = tuple(names)
    return next((number for number, line in enumerate(lines, 1) if line.lstrip("\"' ").startswith(heads)), 0)


def _warn_at_the_users_line(text: str, category: type[Warning]) -> None:
    import inspect  # noqa: PLC0415 - start-up time

    frame = inspect.currentframe()
    while frame is not None and _is_machinery(frame):
        frame = frame.f_back
    if frame is None:  # the command line asks for the settings, no line of the user's
        warnings.warn_explicit(text, category, "celeriac", 0)
        return
    registry: dict[Any, Any] = frame.f_globals.setdefault("__warningregistry__", {})
    module = frame.f_globals.get("__name__")
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


def _is_machinery(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    if name == "__main__":  # the command `celeriac`, or `python -m celeriac`
        spec = frame.f_globals.get("__spec__")
        name = spec.name if spec is not None else frame.f_code.co_filename.rpartition("/")[2].removesuffix(".py")
    return name.partition(".")[0] in _MACHINERY
