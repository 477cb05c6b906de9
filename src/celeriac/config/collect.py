"""From pairs of names and values to settings: finds names, converts values, reports old names, all faults."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from celeriac.config.censor import censor
from celeriac.config.convert import convert
from celeriac.config.schema import TABLE, Found, complaint, find
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterable


class OldSettingNameWarning(FutureWarning):
    """Settings were given by Celery's old upper-case names. They are accepted; the text lists what to write
    instead.

    A FutureWarning, because Python shows those by default and hides a DeprecationWarning.
    """


def collect(
    pairs: Iterable[tuple[object, Any]], *, namespace: str = "", stacklevel: int = 3
) -> dict[str, Any]:
    """The settings that `pairs` name, by their new names, checked and converted.

    Args:
        pairs: names as they were written, with values.
        namespace: with `CELERY`, names look like `CELERY_TASK_SERIALIZER` and others are passed over.
        stacklevel: whose line the warning about old names points to, as for `warnings.warn`.

    Raises:
        ImproperlyConfigured: for unknown names, wrong values, and two names of one setting that disagree; one
            line for each.
    """
    prefix = _prefix(namespace)
    values: dict[str, Any] = {}
    written: dict[str, str] = {}
    renames: dict[str, str] = {}
    faults: list[str] = []
    for name, value in pairs:
        if not isinstance(name, str):
            faults.append(f"names of settings are text, not {name!r}")
            continue
        if not name.startswith(prefix):
            continue
        found = _find(name, prefix)
        if found is None:
            faults.append(complaint(name, prefix=prefix))
            continue
        new = found.row.name
        try:
            converted = convert(found.row, value)
        except ImproperlyConfigured as error:
            faults.append(str(error))
            continue
        if new in values and values[new] != converted:
            faults.append(_disagreement(new, (written[new], values[new]), (name, converted)))
        if found.is_old:
            renames[name] = prefix + new.upper() if prefix.isupper() else prefix + new
        values[new] = converted
        written[new] = name
    if faults:
        raise ImproperlyConfigured("\n".join(faults))
    if renames:
        listing = ", ".join(f"{old} → {new}" for old, new in sorted(renames.items()))
        warnings.warn(
            f"old names of settings, please rename: {listing}", OldSettingNameWarning, stacklevel=stacklevel
        )
    return values


def _prefix(namespace: str) -> str:
    return f"{namespace.rstrip('_')}_" if namespace else ""


def _find(name: str, prefix: str) -> Found | None:
    if not prefix:
        return find(name)
    row = TABLE.get(name.removeprefix(prefix).lower())
    # An old name may begin with the namespace's letters, as CELERY_ACKS_LATE does.
    return Found(row, is_old=False) if row is not None else find(name)


def _disagreement(new: str, first: tuple[str, Any], second: tuple[str, Any]) -> str:
    shown = " and ".join(f"{name!r} is {censor(new, value)!r}" for name, value in (first, second))
    return f"two names of the setting {new!r} disagree: {shown}; keep one"
