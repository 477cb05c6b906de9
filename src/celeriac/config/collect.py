"""From pairs of names and values to settings: finds names, converts values, reports old names, all faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.config.censor import censor
from celeriac.config.convert import convert
from celeriac.config.notices import Source, warn_about_old_names
from celeriac.config.schema import TABLE, complaint, find
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.config.table import SettingInfo

_NO_SOURCE: Final = Source()


def collect(pairs: Iterable[tuple[object, Any]], *, namespace: str = "", source: Source = _NO_SOURCE) -> dict[str, Any]:
    """The settings that `pairs` name, by their new names, checked and converted.

    Args:
        pairs: names as they were written, with values.
        namespace: with `CELERY`, names look like `CELERY_TASK_SERIALIZER` and others are passed over.
        source: what they were read from, for warnings.

    Raises:
        ImproperlyConfigured: for unknown names, wrong values, and two names of one setting that disagree; one
            line for each.
    """
    found = _Found(prefix=f"{namespace.rstrip('_')}_" if namespace else "")
    for name, value in pairs:
        found.take(name, value)
    if found.faults:
        raise ImproperlyConfigured("\n".join(found.faults))
    if found.renames:
        warn_about_old_names(found.renames, source)
    return found.values


class _Found:
    """What was found so far."""

    def __init__(self, prefix: str) -> None:
        self.values: dict[str, Any] = {}
        self.faults: list[str] = []
        self.renames: dict[str, str] = {}
        self._prefix = prefix
        self._written: dict[str, str] = {}

    def take(self, name: object, value: Any) -> None:
        """Add one pair."""
        if not isinstance(name, str):
            self.faults.append(f"names of settings are text, not {name!r}")
            return
        if not name.startswith(self._prefix):
            return
        # In a namespace new names come first: with CELERY, CELERY_TASK_SERIALIZER is the right name, not an old one.
        row = TABLE.get(name.removeprefix(self._prefix).lower()) if self._prefix else TABLE.get(name)
        is_old = row is None
        row = row or find(name)
        if row is None:
            self.faults.append(complaint(name, prefix=self._prefix))
            return
        try:
            self._keep(row, name, convert(row, value))
        except ImproperlyConfigured as error:
            self.faults.append(str(error))
        else:
            if is_old:
                self.renames[name] = self._prefix + (row.name.upper() if self._prefix.isupper() else row.name)

    def _keep(self, row: SettingInfo, name: str, value: Any) -> None:
        if row.name in self.values and self.values[row.name] != value:
            pairs = ((self._written[row.name], self.values[row.name]), (name, value))
            shown = " and ".join(f"{each!r} is {censor(row.name, kept)!r}" for each, kept in pairs)
            raise ImproperlyConfigured(f"two names of the setting {row.name!r} disagree: {shown}; keep one")
        self.values[row.name] = value
        self._written[row.name] = name
