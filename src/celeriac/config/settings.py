"""`Settings`: what `app.conf` is. Reads are plain attribute reads; every write is checked.

Values that were set live in the instance's `__dict__`, defaults on the classes of the sections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.config.beat import BeatSettings
from celeriac.config.broker import BrokerSettings
from celeriac.config.censor import censor
from celeriac.config.collect import collect
from celeriac.config.general import GeneralSettings
from celeriac.config.monitoring import ControlSettings, EventSettings
from celeriac.config.result import ResultSettings
from celeriac.config.schema import TABLE, complaint, find
from celeriac.config.security import SecuritySettings
from celeriac.config.stores import (
    CacheSettings,
    CassandraSettings,
    DatabaseSettings,
    DocumentSettings,
    ObjectStoreSettings,
    RedisSettings,
)
from celeriac.config.task import RoutingSettings, TaskSettings
from celeriac.config.worker import WorkerLogSettings, WorkerMootSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView

# Beside the values in __dict__; no setting begins with an underscore.
_EXPLICIT: Final = "_explicit"


class Settings(
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
):
    """All settings of an app, by attribute or by item.

    Writing an unknown name or a wrong value raises `ImproperlyConfigured`; reading an unknown name raises
    AttributeError or KeyError. Celery's old upper-case names are understood everywhere; writing by them
    warns. `del settings.name` brings the default back.

    Args:
        values: settings by name.
        **more: more of them; they take precedence over `values`.

    Example:
        >>> settings = Settings(task_time_limit=30)
        >>> settings.task_time_limit, settings["task_default_queue"]
        (30, 'celery')
        >>> settings["worker_pol"] = "solo"
        Traceback (most recent call last):
        celeriac.exceptions.ImproperlyConfigured: unknown setting 'worker_pol': did you mean 'worker_pool'?
    """

    def __init__(self, values: Mapping[str, Any] | Settings | None = None, **more: Any) -> None:
        vars(self)[_EXPLICIT] = set[str]()
        self._write((_given(values), more))

    def update(self, *maps: Mapping[str, Any] | Settings, **more: Any) -> None:
        """Set several at once: all of them, or none if one is wrong. Later ones take precedence.

        Raises:
            ImproperlyConfigured: names every unknown setting and wrong value.
        """
        self._write((*map(_given, maps), more))

    def changed(self) -> dict[str, Any]:
        """What was set explicitly, by new name, in the order of the table."""
        explicit = self._explicit_names()
        return {
            name: vars(self)[name]
            for name, row in TABLE.items()
            # a default dictionary that somebody filled in place is a change, too
            if name in vars(self) and (name in explicit or vars(self)[name] != row.default)
        }

    def value_set_for(self, name: str) -> bool:
        """Whether somebody has set this one."""
        row = find(name)
        return row is not None and row.name in self.changed()

    def table(self, censored: bool = True, with_defaults: bool = False) -> dict[str, Any]:
        """What was set, as it may be shown.

        Args:
            censored: hide passwords, keys and tokens, those in URLs included.
            with_defaults: all settings, not only those that were set.
        """
        values = dict(self.items()) if with_defaults else self.changed()
        return {name: censor(name, value) for name, value in values.items()} if censored else values

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """`table` as text, a setting a line."""
        table = self.table(censored=censored, with_defaults=with_defaults)
        return "\n".join(f"{name}: {value!r}" for name, value in table.items())

    # -- as a mapping ----------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        row = find(name)
        if row is None:
            raise KeyError(complaint(name))
        return getattr(self, row.name)

    def __setitem__(self, name: str, value: Any) -> None:
        self._write(({name: value},))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(TABLE)

    def __len__(self) -> int:
        return len(TABLE)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a setting, or `default` if there is no setting of this name."""
        row = find(name)
        return default if row is None else getattr(self, row.name)

    def keys(self) -> KeysView[str]:
        """The names of all settings."""
        return TABLE.keys()

    def values(self) -> ValuesView[Any]:
        """The values of all settings."""
        return self._all().values()

    def items(self) -> ItemsView[str, Any]:
        """All settings with their values."""
        return self._all().items()

    def __copy__(self) -> Settings:
        return type(self)(self)

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in self.table().items())
        return f"{type(self).__name__}({inner})"

    # -- inside ----------------------------------------------------------------------------------------------

    if not TYPE_CHECKING:  # seen by type checkers, these would make any misspelt attribute look right

        def __setattr__(self, name: str, value: Any) -> None:
            self._write(({name: value},))

        def __delattr__(self, name: str) -> None:
            if name not in TABLE:
                raise AttributeError(complaint(name), name=name, obj=self)
            self._explicit_names().discard(name)
            vars(self).pop(name, None)

        def __getattr__(self, name: str) -> Any:
            row = None if name.startswith("_") else find(name)
            if row is None:
                what = f"no attribute {name!r}" if name.startswith("_") else complaint(name)
                raise AttributeError(what, name=name, obj=self)
            return getattr(self, row.name)

    def _write(self, maps: Iterable[Mapping[str, Any]]) -> None:
        converted: dict[str, Any] = {}
        for values in maps:
            converted.update(collect(values.items()))
        vars(self).update(converted)  # only now: all or nothing
        self._explicit_names().update(converted)

    def _explicit_names(self) -> set[str]:
        names: set[str] = vars(self)[_EXPLICIT]
        return names

    def _all(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in TABLE}


def _given(values: Mapping[str, Any] | Settings | None) -> Mapping[str, Any]:
    if values is None:
        return {}
    return values.changed() if isinstance(values, Settings) else values
