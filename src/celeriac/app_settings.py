"""The part of an app that is its settings, and what follows from them alone.

Owns when settings are read and which source goes before which. Knows nothing of tasks and connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

from celeriac.clock import Clock
from celeriac.config import Settings, environment_settings, load_settings, load_settings_from_envvar
from celeriac.discovery import module_exists
from celeriac.exceptions import ImproperlyConfigured
from celeriac.routing import Router
from celeriac.signals import Signal
from celeriac.timezones import timezone_of
from celeriac.topology import TOPOLOGY_SETTINGS, Topology

#: What `config_from_object` can not read; objects of all other kinds may have settings as attributes.
_NO_SOURCES: Final = (type(None), int, float, complex, bytes, list, tuple, set, frozenset)

_OF_ROUTING: Final = (*TOPOLOGY_SETTINGS, "task_routes")


class AppConf(Settings):
    """The settings of an app, which refuse to be changed where that could have no effect any more.

    Args:
        in_use: gives the names of settings that something was made of already.
        on_rerouted: called when settings of queues and routes have changed.
    """

    def __init__(self, in_use: Callable[[], Iterable[str]], on_rerouted: Callable[[], None]) -> None:
        vars(self)["_in_use"] = in_use
        vars(self)["_on_rerouted"] = on_rerouted
        super().__init__()

    def _write(self, maps: Iterable[Mapping[str, Any]]) -> None:
        in_use = tuple(vars(self)["_in_use"]())
        if in_use:
            maps = tuple(maps)
            wanted = Settings(self)
            wanted.update(*maps)
            for name in in_use:
                if wanted[name] != self[name]:
                    raise ImproperlyConfigured(
                        f"{name} can not be changed any more: the app is connected by what it was. Set it before the "
                        "app is used, or call app.close() first"
                    )
        before = self._of_routing()
        super()._write(maps)
        if self._of_routing() != before:
            vars(self)["_on_rerouted"]()

    def _of_routing(self) -> list[Any]:
        return [self[name] for name in _OF_ROUTING]

    if not TYPE_CHECKING:  # as in `Settings`

        def __delattr__(self, name: str) -> None:
            before = self._of_routing()
            super().__delattr__(name)
            if self._of_routing() != before:
                vars(self)["_on_rerouted"]()

    def __copy__(self) -> Settings:
        return Settings(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Settings, (self.changed(),)


class AppSettings:
    """What `Celeriac` has of settings.

    Args:
        assigned: what the program gives the app itself.
        source: see `config_from_object`.
        namespace: prefix of the settings in `source`.
        clock: the time.

    Raises:
        ImproperlyConfigured: something in `assigned` is wrong.
    """

    def __init__(self, assigned: Mapping[str, Any], source: object | None, namespace: str | None, clock: Clock) -> None:
        # A wrong setting, or an old name, is told where it is given, though it is used later.
        given = Settings(assigned).changed()
        self.clock = clock
        self.on_configure = Signal("on_configure")
        self.on_after_configure = Signal("on_after_configure")
        self._assigned = given
        self._source = source
        self._namespace = namespace
        self._settings: Settings | None = None
        self._topology: Topology | None = None
        self._router: Router | None = None
        #: Guards everything that is made when it is first needed.
        self._lock = threading.RLock()

    @property
    def conf(self) -> Settings:
        """The settings, read when they are first needed.

        What was given to the app itself goes before the environment, and that before the config source.
        """
        return self._settings if self._settings is not None else self._read_settings()

    def _read_settings(self) -> Settings:
        with self._lock:
            if self._settings is not None:  # another thread was faster
                return self._settings
            self.on_configure.send(self)
            settings = AppConf(self._settings_in_use, self._forget_routing)
            if self._source is not None:
                settings.update(load_settings(self._source, namespace=self._namespace))
            settings.update(environment_settings())
            settings.update(self._assigned)
            self._settings = settings
            self.on_after_configure.send(self, source=settings)
            return settings

    def config_from_object(
        self, obj: object, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Take settings from an object, a module, a dictionary, or the name of one.

        It is read when settings are first needed, or at once if they have been.

        Args:
            obj: what to read, or its name: `proj.settings`, `proj.settings:attribute`.
            silent: a module that can not be imported is no error.
            force: read it at once.
            namespace: read only names with this prefix: `CELERY` for `CELERY_TASK_SERIALIZER`.

        Raises:
            ImproperlyConfigured: it can not be found, or something in it is wrong.
        """
        if isinstance(obj, _NO_SOURCES):
            raise ImproperlyConfigured(
                f"config_from_object can read no settings from {obj!r:.100}: give an object, a module, a dictionary or "
                "the name of one"
            )
        if silent or force or self._settings is not None:
            self._take_settings(obj, silent, namespace)
        else:
            self._source, self._namespace = obj, namespace

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> bool:
        """Take settings from the module that an environment variable names.

        Returns:
            Whether there is something to read.

        Raises:
            ImproperlyConfigured: the variable is not set (unless `silent`), or as `config_from_object`.
        """
        found = load_settings_from_envvar(variable_name, silent=silent)
        if found:
            self.config_from_object(found, force=force)
        return bool(found)

    def _take_settings(self, obj: object, silent: bool, namespace: str | None) -> None:
        if silent and isinstance(obj, str) and not module_exists(obj.partition(":")[0]):
            return
        found = load_settings(obj, namespace=namespace)
        fixed = {**environment_settings(), **self._assigned}
        self.conf.update({name: value for name, value in found.items() if name not in fixed})

    def _settings_in_use(self) -> Iterable[str]:
        """Names of settings that can not change any more; those of connections, which are not this part's."""
        return ()

    @property
    def topology(self) -> Topology:
        """The queues there are by the settings, and those that were added since."""
        found = self._topology
        if found is None:
            with self._lock:
                found = self._topology
                if found is None:  # else another thread was faster
                    found = self._topology = Topology.of(self.conf)
        return found

    @property
    def router(self) -> Router:
        """Finds out where calls go."""
        found = self._router
        if found is None:
            with self._lock:
                found = self._router
                if found is None:  # else another thread was faster
                    found = self._router = Router(self.topology, self.conf.task_routes)
        return found

    def select_queues(self, queues: str | Sequence[str] | None = None) -> tuple[str, ...]:
        """Let workers of this app take from these queues only, as `-Q` does. None: from all that settings name.

        Returns:
            Their names.

        Raises:
            QueueNotFound: one is not in `task_queues`, and `task_create_missing_queues` is off.
        """
        wanted = [name.strip() for name in queues.split(",")] if isinstance(queues, str) else queues
        self.topology.names = self.topology.select(wanted)
        return self.topology.names

    def _forget_routing(self) -> None:
        self._topology = self._router = None

    @property
    def timezone(self) -> tzinfo:
        """The timezone of times that say none: `timezone`, else UTC, or this machine's with `enable_utc=False`."""
        conf = self.conf
        return timezone_of(conf.timezone, conf.enable_utc)

    def now(self) -> datetime:
        """The time, in the app's timezone."""
        return datetime.fromtimestamp(self.clock.time(), self.timezone)
