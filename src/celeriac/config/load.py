"""Where settings come from: objects, modules, dictionaries, names of those, and the environment.

Later sources take precedence: defaults, the config source, the environment, what the program sets on
the app (constructor and `app.conf`), the command line.
"""

from __future__ import annotations

import importlib
import os
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from celeriac.config.collect import collect
from celeriac.config.convert import accepts
from celeriac.config.notices import source_of
from celeriac.config.schema import find, resembles_a_setting
from celeriac.config.settings import Settings
from celeriac.exceptions import ImproperlyConfigured

#: Environment variables that hold a setting. For one setting, the first that is set counts.
ENVIRONMENT: Final[Mapping[str, tuple[str, ...]]] = types.MappingProxyType(
    {
        "broker_url": ("CELERIAC_BROKER_URL", "CELERY_BROKER_URL"),
        "broker_read_url": ("CELERIAC_BROKER_READ_URL", "CELERY_BROKER_READ_URL"),
        "broker_write_url": ("CELERIAC_BROKER_WRITE_URL", "CELERY_BROKER_WRITE_URL"),
        "result_backend": ("CELERIAC_RESULT_BACKEND", "CELERY_RESULT_BACKEND"),
    }
)


def load_settings(source: object, *, namespace: str | None = None) -> dict[str, Any]:
    """Read settings from a configuration.

    Of a dictionary every key must be a setting. Of an object or module, names that are not settings are
    passed over, since it may hold imports and helpers, unless they are so near to a setting's name that they
    must be misspelt. With a namespace, all names that begin with it must be settings and all others are
    passed over.

    Args:
        source: a dictionary, an object, a module, or a name: `proj.settings`, `proj.settings:obj`,
            `proj.settings.OBJ`.
        namespace: `CELERY` reads `CELERY_TASK_SERIALIZER` and the like, as in Django's settings.

    Returns:
        The settings by their new names, checked and converted.

    Raises:
        ImproperlyConfigured: the source can not be found, or something in it is wrong; every fault is named.

    Example:
        >>> load_settings({"CELERY_TASK_SERIALIZER": "yaml", "DEBUG": True}, namespace="CELERY")
        {'task_serializer': 'yaml'}
    """
    found = _imported(source) if isinstance(source, str) else source
    try:
        return collect(_pairs(found, namespace or ""), namespace=namespace or "", source=source_of(source, found))
    except ImproperlyConfigured as error:
        where = source if isinstance(source, str) else getattr(source, "__name__", None)
        raise ImproperlyConfigured(f"in {where}: {error}" if where else str(error)) from None


def load_settings_from_envvar(variable: str, *, silent: bool = False, namespace: str | None = None) -> dict[str, Any]:
    """`load_settings` of the name that an environment variable holds.

    Raises:
        ImproperlyConfigured: the variable is not set (unless `silent`), or the settings are wrong.
    """
    name = os.environ.get(variable, "").strip()
    if not name:
        if silent:
            return {}
        raise ImproperlyConfigured(
            f"the environment variable {variable!r} is not set: it must name a module with settings, "
            f"as in {variable}=proj.celeryconfig"
        )
    return load_settings(name, namespace=namespace)


def environment_settings(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The settings that environment variables hold; see `ENVIRONMENT`. Empty variables count as not set.

    Args:
        environ: instead of `os.environ`.
    """
    env = os.environ if environ is None else environ
    found = {
        name: next((env[variable] for variable in variables if env.get(variable)), None)
        for name, variables in ENVIRONMENT.items()
    }
    return collect((name, value) for name, value in found.items() if value is not None)


def _pairs(source: object, namespace: str) -> Iterator[tuple[str, Any]]:
    if isinstance(source, Settings):
        yield from source.changed().items()
    elif isinstance(source, Mapping):
        yield from source.items()
    else:
        yield from _attributes(source, namespace)


def _attributes(source: object, namespace: str) -> Iterator[tuple[str, Any]]:
    """The attributes of an object or module that are settings or meant to be.

    Others are not even read: objects such as Django's settings compute some of theirs, or warn about old
    ones.
    """
    for name in dir(source):
        if name.startswith("_"):
            continue
        if namespace:
            if name.startswith(namespace):
                yield name, getattr(source, name)
        elif (row := find(name)) is not None:
            value = getattr(source, name)
            if not _is_passerby(value) or accepts(row, value):
                yield name, value
        elif resembles_a_setting(name):
            value = getattr(source, name)
            if not _is_passerby(value):
                yield name, value


def _is_passerby(value: object) -> bool:
    """Whether a name that looks like a setting's may belong to something imported or defined beside the settings.

    As in `from django.utils import timezone`.
    """
    return callable(value) or isinstance(value, types.ModuleType)


def _imported(name: str) -> object:
    """The module or object of a dotted name."""
    path, colon, attributes = name.partition(":")
    if colon:
        return _attribute_of(_module(path, name), attributes, name)
    try:
        return _module(path, name)
    except ImproperlyConfigured:
        parent, dot, last = path.rpartition(".")
        if not dot:
            raise
        try:
            module = _module(parent, name)
        except ImproperlyConfigured:
            module = None
        if module is None or last not in vars(module):
            raise
        return vars(module)[last]


def _module(path: str, name: str) -> types.ModuleType:
    if not path or path.startswith("."):
        raise ImproperlyConfigured(f"can not load settings from {name!r}: it is not the full name of a module")
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        # An import that fails inside the module is the module's own fault and must be seen as such.
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        hint = f"; give the module's name, {path[:-3]!r}" if path.endswith(".py") else ""
        raise ImproperlyConfigured(
            f"can not load settings from {name!r}: there is no module {error.name!r} on the path{hint}"
        ) from None


def _attribute_of(module: types.ModuleType, path: str, name: str) -> object:
    found: object = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ImproperlyConfigured(f"can not load settings from {name!r}: there is no {part!r} in it") from None
    return found
