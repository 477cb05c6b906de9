"""The whole table: all sections, and the ways to find a row by a name that somebody wrote."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from celeriac.config.beat import BeatSettings
from celeriac.config.broker import BrokerSettings
from celeriac.config.celery_only import reason_without
from celeriac.config.general import GeneralSettings
from celeriac.config.monitoring import ControlSettings, EventSettings
from celeriac.config.names import did_you_mean, nearest
from celeriac.config.result import ResultSettings
from celeriac.config.security import SecuritySettings
from celeriac.config.stores import (
    CacheSettings,
    CassandraSettings,
    DatabaseSettings,
    DocumentSettings,
    ObjectStoreSettings,
    RedisSettings,
)
from celeriac.config.table import Section, SettingInfo, rows_of
from celeriac.config.task import RoutingSettings, TaskSettings
from celeriac.config.worker import WorkerLogSettings, WorkerMootSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The sections in the order of the reference.
SECTIONS: Final[tuple[type[Section], ...]] = (
    GeneralSettings,
    TaskSettings,
    RoutingSettings,
    WorkerSettings,
    WorkerLogSettings,
    BrokerSettings,
    ResultSettings,
    BeatSettings,
    EventSettings,
    ControlSettings,
    SecuritySettings,
    RedisSettings,
    DatabaseSettings,
    CacheSettings,
    DocumentSettings,
    CassandraSettings,
    ObjectStoreSettings,
    WorkerMootSettings,
)

TABLE: Final[Mapping[str, SettingInfo]] = MappingProxyType(
    {row.name: row for section in SECTIONS for row in rows_of(section)}
)

#: Celery's upper-case names, those that only its documentation has included.
OLD_NAMES: Final[Mapping[str, str]] = MappingProxyType({old: row.name for row in TABLE.values() for old in row.old})

_OLD_PREFIX: Final = "CELERY_"


def setting_table() -> tuple[SettingInfo, ...]:
    """All rows, by section."""
    return tuple(TABLE.values())


def find(name: str) -> SettingInfo | None:
    """The row of a new name, an old name, or `CELERY_` and a new name in upper case, if there is one."""
    row = TABLE.get(name)
    if row is not None:
        return row
    new = OLD_NAMES.get(name)
    if new is None and name.startswith(_OLD_PREFIX) and name.isupper():
        # Names that Celery reads with namespace="CELERY" only, and ignores in silence without it.
        new = name.removeprefix(_OLD_PREFIX).lower()
    return TABLE.get(new) if new is not None else None


def complaint(name: str, *, prefix: str = "") -> str:
    """What is wrong with a name that `find` does not know.

    Args:
        name: as it was written.
        prefix: the namespace's prefix, `CELERY_`; suggestions bear it as well.
    """
    reason = reason_without(name.removeprefix(prefix))
    if reason is not None:
        return f"setting {name!r}: {reason}"
    return f"unknown setting {name!r}: {_cure(name, prefix)}"


def _cure(name: str, prefix: str) -> str:
    plain = name.removeprefix(prefix)
    if prefix:
        guesses = [prefix + (near.upper() if prefix.isupper() else near) for near in nearest(plain.lower(), TABLE)]
    elif name.isupper():
        guesses = [OLD_NAMES.get(near, near) for near in nearest(name, [*OLD_NAMES, *map(_with_prefix, TABLE)])]
        guesses = list(dict.fromkeys(guess.removeprefix(_OLD_PREFIX).lower() for guess in guesses))
    else:
        guesses = nearest(name, TABLE)
    return did_you_mean(guesses) or "`celeriac report --settings` lists all there are"


def _with_prefix(name: str) -> str:
    return _OLD_PREFIX + name.upper()


def resembles_a_setting(name: str) -> bool:
    """Whether an unknown name is so near to a setting's that it must be a misspelling."""
    if reason_without(name) is not None:
        return True
    known = [*OLD_NAMES, *map(_with_prefix, TABLE)] if name.isupper() else TABLE
    return bool(nearest(name, known, closeness=0.88, limit=1))
