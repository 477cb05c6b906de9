"""Finding things in modules: tasks by convention, and the name under which an object can be imported.

Owns the search. Whose tasks are found is decided by what the modules do when they are imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NamedTuple

from celeriac.exceptions import ImproperlyConfigured

#: One name, several, or a function that gives them when it is time.
PackageNames = str | Iterable[str] | Callable[[], str | Iterable[str]]


class Discovery(NamedTuple):
    """Packages whose task modules are to be imported.

    Attributes:
        packages: their names, or a function that gives them when it is time.
        related_name: the module in each of them; None: the packages themselves.
    """

    packages: PackageNames
    related_name: str | None = "tasks"

    def run(self) -> list[ModuleType]:
        """Import what there is. A package without the module is passed over; an error inside one is raised."""
        names = self.packages() if callable(self.packages) else self.packages
        if isinstance(names, str):
            names = (names,)
        found = (_import_related(package, self.related_name) for package in names)
        return [module for module in found if module is not None]


def _import_related(package: str, related_name: str | None) -> ModuleType | None:
    parent = importlib.import_module(package)
    if related_name is None:
        return parent
    name = f"{package}.{related_name}"
    if not hasattr(parent, "__path__") or not module_exists(name):
        return None
    return importlib.import_module(name)


def module_exists(name: str) -> bool:
    """There is a module of this name. Its packages are imported, it is not."""
    from importlib.util import find_spec  # noqa: PLC0415 - start-up time

    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of a package that it would be in
        return False


def import_name(thing: object) -> str:
    """`module:attribute` under which another process can import `thing`.

    Raises:
        ImproperlyConfigured: it is no attribute of a module.
    """
    modules: dict[str, object] = dict(sys.modules)  # some programs put other things there
    for name, module in modules.items():
        if isinstance(module, ModuleType):
            for attribute, value in list(vars(module).items()):
                if value is thing:
                    return f"{_program_module(module) if name == '__main__' else name}:{attribute}"
    raise ImproperlyConfigured(
        f"{thing!r} is not an attribute of any module, so that no other process can import it: assign it to a variable "
        "of a module (app = Celeriac(...)), outside all functions"
    )


def _program_module(main: ModuleType) -> str:
    """The name under which the program that runs as `__main__` can be imported."""
    spec = vars(main).get("__spec__")  # of `python -m package.module`
    if isinstance(spec, ModuleSpec):
        return spec.name
    from pathlib import Path  # noqa: PLC0415 - start-up time

    return Path(main.__file__ or "__main__").stem
