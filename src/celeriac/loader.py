"""Finding the app that `-A` names, and telling why it can not be found.

Owns the rules of what a name may stand for. Knows nothing of the command line, of workers or of what apps do.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from celeriac.app import Celeriac
from celeriac.config import OldSettingNameWarning, load_settings
from celeriac.exceptions import CeleriacError, ImproperlyConfigured
from celeriac.task import Task

__all__ = ["AppImportError", "AppNotFound", "AppSpec", "find_app", "import_task_modules"]

#: Names under which an app is looked for in a module, and the submodules that are tried in a package.
APP_ATTRIBUTES: Final = ("app", "celeriac", "celery")
APP_SUBMODULES: Final = ("celeriac", "celery")

_OWN_PACKAGE: Final = "celeriac"
_OWN_FOLDER: Final = str(Path(__file__).parent)


class AppNotFound(ImproperlyConfigured):
    """The name given with `-A` leads to no app.

    Its text is three lines: what was asked for, what was looked for and where, what to do.
    """

    def __init__(self, asked: str, looked: str, cure: str) -> None:
        super().__init__(f"{asked}\n  {looked}\n  {cure}")


class AppImportError(AppNotFound):
    """What was named is there, but importing it failed: an error in the user's code, shown as such."""


class AppSpec(msgspec.Struct, frozen=True):
    """How another process gets the same app. Can be sent as MessagePack.

    Attributes:
        name: what `find_app` is given, or an empty string for an app of no name and no tasks.
        workdir: folder to put first on the path, or None for the current one.
        settings: settings that override the app's own.
        config: name of a module (or `module:object`) with settings, which come before `settings`.
        told: somebody has read what is to be said of old names of settings; the process that loads it does not repeat
            that.
    """

    name: str
    workdir: str | None = None
    settings: dict[str, Any] = {}  # msgspec copies it for each instance
    config: str | None = None
    told: bool = False

    def load(self) -> Celeriac:
        """Find the app and apply the overrides.

        Raises:
            AppNotFound: there is no such app.
            ImproperlyConfigured: a setting is unknown or has the wrong type.
        """
        if self.told:
            warnings.simplefilter("ignore", OldSettingNameWarning)
        put_first_on_path(self.workdir)
        app = find_app(self.name, workdir=self.workdir) if self.name else Celeriac("celeriac")
        if self.config:
            app.conf.update(load_settings(self.config, namespace=None))
        if self.settings:
            app.conf.update(self.settings)
        return app


def find_app(name: str, *, workdir: str | None = None) -> Celeriac:
    """Return the app that `name` stands for.

    `proj` is a module or package: its attribute `app`, `celeriac` or `celery`, else the one app among its
    attributes, else the same in its submodule `celeriac` or `celery`. `proj:obj.attr` and `proj.obj` name it
    outright.

    Args:
        name: what `-A` was given.
        workdir: folder that is put first on `sys.path`; the current one by default.

    Raises:
        AppNotFound: nothing of that name is an app; the text says what was looked for and where.
        AppImportError: importing what was named failed.
    """
    folder = put_first_on_path(workdir)
    return _Search(name, folder).run()


def import_task_modules(app: Celeriac, *, included: Collection[str] = ()) -> None:
    """`app.import_modules()`, with an error in the user's modules shown as such.

    Args:
        app: whose modules.
        included: those that the option --include has added.

    Raises:
        AppImportError: importing one of them failed.
        CeleriacError: as it comes, for example of a wrong setting.
    """
    try:
        app.import_modules()
    except CeleriacError:
        raise
    except (Exception, SystemExit) as error:
        asked = f"The tasks of the app {app.main or ''!r} can not be loaded"
        missing = _named_in_vain(error, app)
        if missing is None:
            raise AppImportError(f"{asked}: importing a module failed.", _scene(error), _summary(error)) from error
        giver = "the option --include" if missing in included else "the setting include or imports"
        raise AppImportError(
            f"{asked}: {giver} names {missing}.",
            f"There is no such module in {sys.path[0]} or on the Python path.",
            _summary(error),
        ) from error


def _named_in_vain(error: BaseException, app: Celeriac) -> str | None:
    """The module in the app's settings that is not there, if that is the error; not one that a module of it misses."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    name = error.name
    named = (*app.conf.imports, *app.conf.include)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    return next((each for each in named if f"{each}.".startswith(f"{name}.")), None) if not frames else None


def put_first_on_path(workdir: str | None = None) -> str:
    """Put `workdir`, or the current folder, first on `sys.path`. Returns it as an absolute path."""
    folder = str(Path(workdir or ".").absolute())
    if not sys.path or sys.path[0] != folder:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
    return folder


class _Search:
    """One search for an app; its parts share the name that was asked for, which every error repeats."""

    def __init__(self, name: str, folder: str) -> None:
        self._name = name
        self._folder = folder
        self._module: ModuleType | None = None  # the last one on the way

    def run(self) -> Celeriac:
        module_name, colon, attributes = self._name.partition(":")
        if not module_name or not all(module_name.split(".")) or (colon and not all(attributes.split("."))):
            raise self._not_found(
                "That is no name of a module, such as proj, or of an object in one, such as proj:app.",
                "Give a dotted name, without slashes and without .py.",
            )
        found = self._walk(module_name)
        for attribute in attributes.split(".") if colon else ():
            found = self._member(found, attribute)
        if isinstance(found, ModuleType):
            return self._app_in_module(found)
        return self._checked(found)

    # -- walking to what was named --------------------------------------------------------------------------

    def _walk(self, dotted: str) -> object:
        first, *rest = dotted.split(".")
        found: object = self._import(first)
        if found is None:
            raise self._no_module(first)
        self._note(found)
        for part in rest:
            found = self._member(found, part)
        return found

    def _member(self, owner: object, name: str) -> object:
        """Attributes come before submodules, as in Celery."""
        missing = object()
        found = getattr(owner, name, missing)
        if found is not missing:
            self._note(found)
            return found
        submodule = self._submodule(owner, name) if isinstance(owner, ModuleType) else None
        if submodule is None:
            raise self._no_member(owner, name)
        self._note(submodule)
        return submodule

    def _note(self, found: object) -> None:
        if isinstance(found, ModuleType):
            self._module = found

    def _submodule(self, owner: ModuleType, name: str) -> ModuleType | None:
        return self._import(f"{owner.__name__}.{name}") if hasattr(owner, "__path__") else None

    def _import(self, name: str) -> ModuleType | None:
        """Import a module whose parent is imported already; None if there is no such module."""
        loaded = sys.modules.get(name)
        if loaded is not None:
            return loaded
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # a parent that is no package, or a name that can be none
            spec = None
        if spec is None:
            return None
        try:
            return importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise self._broken(name, error) from error

    # -- finding the app in a module ------------------------------------------------------------------------

    def _app_in_module(self, module: ModuleType) -> Celeriac:
        app = self._app_among_attributes(module)
        if app is not None:
            return app
        for name in APP_SUBMODULES:
            submodule = self._submodule(module, name)
            app = self._app_among_attributes(submodule) if submodule is not None else None
            if app is not None:
                return app
        raise self._no_app_in(module)

    def _app_among_attributes(self, module: ModuleType) -> Celeriac | None:
        for name in APP_ATTRIBUTES:
            value = vars(module).get(name)
            if isinstance(value, Celeriac):
                return value
        apps = {name: value for name, value in vars(module).items() if isinstance(value, Celeriac)}
        if len({id(app) for app in apps.values()}) > 1:
            raise self._not_found(
                f"The module {module.__name__} ({_place(module)}) has several: {', '.join(sorted(apps))}.",
                f"Say which, for example -A {module.__name__}:{min(apps)}.",
            )
        return next(iter(apps.values()), None)

    def _checked(self, found: object) -> Celeriac:
        if isinstance(found, Celeriac):
            return found
        if isinstance(found, Task):
            raise self._not_found("What it names is a task, not the app.", self._cure_for_task(found))
        kind = type(found)
        cure = "Name an object made by celeriac.Celeriac(...)."
        if callable(found):
            cure = "Call it in the module, for example app = make_app(), and name what it returned."
        if kind.__module__.partition(".")[0] == "celery":
            cure = "It is an app of Celery; make it with celeriac.Celeriac, which takes the same arguments."
        raise self._not_found(f"What it names is no app but a {kind.__module__}.{kind.__qualname__}.", cure)

    # -- saying what is wrong -------------------------------------------------------------------------------

    def _not_found(self, looked: str, cure: str) -> AppNotFound:
        return AppNotFound(f"No app found for {self._name!r}.", looked, cure)

    def _no_module(self, name: str) -> AppNotFound:
        looked = f"Looked for {name}.py and {name}/ in {self._folder} and on the Python path: neither is there."
        if "/" in name or "\\" in name:
            return self._not_found(looked, "Give a module's name, not a path; --workdir names the folder to start in.")
        there = _modules_in(self._folder)
        near = difflib.get_close_matches(name, there, n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Modules there: {_listed(there)}."
        return self._not_found(looked, f"{hint} Start in the folder that holds it, or name that with --workdir.")

    def _no_member(self, owner: object, name: str) -> AppNotFound:
        if not isinstance(owner, ModuleType):
            return self._not_found(
                f"The {type(owner).__qualname__} before it has no attribute {name!r}.", "Name the app itself."
            )
        module = owner.__name__
        looked = f"Looked for {name!r} in {module} ({_place(owner)}): there is no such attribute or submodule."
        if name == "py":
            return self._not_found(looked, f"Leave out the .py: -A {module}.")
        apps = sorted(key for key, value in vars(owner).items() if isinstance(value, Celeriac))
        if apps:
            return self._not_found(looked, f"There is an app, though: -A {module}:{apps[0]}.")
        return self._not_found(looked, f"Write {name} = Celeriac(...) there, or name what it has.")

    def _no_app_in(self, module: ModuleType) -> AppNotFound:
        name = module.__name__
        if name == _OWN_PACKAGE:
            return self._not_found(
                f"{name} is this library ({_place(module)}); it hides a module of yours of that name.",
                "Give your module another name, for example tasks.py.",
            )
        looked = f"Looked in {name} ({_place(module)}) for {', '.join(APP_ATTRIBUTES)} or any one Celeriac object"
        if hasattr(module, "__path__"):
            looked += f", and in {' and '.join(f'{name}.{part}' for part in APP_SUBMODULES)}"
        return self._not_found(f"{looked}.", f"Write app = Celeriac({name!r}) there, or name it: -A {name}:NAME.")

    def _cure_for_task(self, task: Task[Any, Any]) -> str:
        members = vars(self._module) if self._module is not None else {}
        names = [name for name, value in members.items() if isinstance(value, Celeriac)]
        names.sort(key=lambda name: (members[name] is not task.app, name))
        if self._module is None or not names:
            return "Name the object made by celeriac.Celeriac(...), where it is defined."
        return f"Name the app: -A {self._module.__name__}:{names[0]}."

    def _broken(self, name: str, error: BaseException) -> AppImportError:
        return AppImportError(
            f"The app {self._name!r} can not be loaded: importing the module {name} failed.",
            _scene(error),
            _summary(error),
        )


def _summary(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip().replace("\n", " ")


def _scene(error: BaseException) -> str:
    """File, line and source of the user's code that raised: the last frame that is not a library's."""
    if isinstance(error, SyntaxError) and error.filename:
        return _line(error.filename, error.lineno or 0, "", (error.text or "").strip())
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    own = [frame for frame in frames if not _is_installed(frame.filename)]
    if not frames:
        return "No line of it was run."
    frame = (own or frames)[-1]
    return _line(frame.filename, frame.lineno or 0, f", in {frame.name}", frame.line or "")


def _line(filename: str, lineno: int, where: str, source: str) -> str:
    return f'File "{filename}", line {lineno}{where}' + (f": {source}" if source else "")


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", _OWN_FOLDER)) or filename == importlib.__file__


def _is_installed(filename: str) -> bool:
    return (
        "site-packages" in filename
        or "dist-packages" in filename
        or filename.startswith(str(Path(importlib.__file__).parents[1]))
    )


def _place(module: ModuleType) -> str:
    if module.__file__:
        return module.__file__
    folders = list(getattr(module, "__path__", ()))
    return f"{folders[0]}, a folder without __init__.py" if folders else "built in"


def _modules_in(folder: str) -> list[str]:
    try:
        entries = sorted(Path(folder).iterdir())
    except OSError:  # the folder is named in the line before; that it can not be read changes nothing there
        return []
    files = [entry.stem for entry in entries if entry.suffix == ".py" and entry.stem.isidentifier()]
    return files + [entry.name for entry in entries if (entry / "__init__.py").is_file()]


def _listed(names: list[str], limit: int = 8) -> str:
    if not names:
        return "none"
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
