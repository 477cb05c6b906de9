"""What `-A` may name, and what is said when it leads nowhere."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from celeriac import Celeriac
from celeriac.config import OldSettingNameWarning
from celeriac.exceptions import ImproperlyConfigured
from celeriac.loader import AppImportError, AppNotFound, AppSpec, find_app, import_task_modules

Write = Callable[..., Path]

APP = "from celeriac import Celeriac\n{name} = Celeriac({main!r}, set_as_current=False)\n"


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test imports is forgotten after it: all of them have a module called proj."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", sys.path[:])
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"proj", "tasks", "conf", "celery"}:
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files into the current folder: `write(**{"proj/celery.py": "text"})`."""
    monkeypatch.chdir(tmp_path)

    def files(**texts: str) -> Path:
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()
        return tmp_path

    return files


def _app(main: str, name: str = "app") -> str:
    return APP.format(name=name, main=main)


def _refusal(name: str) -> list[str]:
    """The lines of the error that `find_app` raises; always three."""
    with pytest.raises(AppNotFound) as caught:
        find_app(name)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3, lines
    return lines


# -- what is found -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ["app", "celery", "celeriac", "anything"])
def test_a_module(write: Write, attribute: str) -> None:
    write(**{"proj.py": _app("here", attribute)})
    assert find_app("proj").main == "here"


@pytest.mark.parametrize("name", ["proj:other", "proj.other", "proj:box.inner", "proj.box.inner"])
def test_an_object_named_outright(write: Write, name: str) -> None:
    text = _app("wrong") + _app("other", "other") + "class box:\n    inner = other\n"
    write(**{"proj.py": text})
    assert find_app(name).main == "other"


def test_app_goes_before_celeriac_and_celery(write: Write) -> None:
    write(**{"proj.py": _app("c", "celery") + _app("b", "celeriac") + _app("a", "app")})
    assert find_app("proj").main == "a"


@pytest.mark.parametrize("submodule", ["celery", "celeriac"])
@pytest.mark.parametrize("name", ["proj", "proj.{}", "proj:{}", "proj.{}:app", "proj.{}.app"])
def test_a_submodule_of_a_package(write: Write, submodule: str, name: str) -> None:
    write(**{"proj/__init__.py": "", f"proj/{submodule}.py": _app("sub")})
    assert find_app(name.format(submodule)).main == "sub"


def test_a_submodule_of_any_name(write: Write) -> None:
    write(**{"proj/__init__.py": "", "proj/inner/__init__.py": "", "proj/inner/main.py": _app("deep")})
    assert find_app("proj.inner.main").main == "deep"
    assert find_app("proj.inner.main:app").main == "deep"


def test_a_package_that_imports_its_submodule(write: Write) -> None:
    """As Django projects do: the attribute `celery` is a module then."""
    write(**{"proj/__init__.py": "from .celery import app as celery_app\n", "proj/celery.py": _app("django")})
    assert find_app("proj").main == "django"
    assert find_app("proj.celery").main == "django"


def test_a_package_whose_attribute_hides_the_submodule(write: Write) -> None:
    write(**{"proj/__init__.py": "from .celery import app as celery\n", "proj/celery.py": _app("hidden")})
    assert find_app("proj.celery").main == "hidden"


def test_a_folder_without_init(write: Write) -> None:
    write(**{"proj/celery.py": _app("namespace")})
    assert find_app("proj").main == "namespace"


def test_one_app_under_two_names_is_one(write: Write) -> None:
    write(**{"proj.py": _app("one", "first") + "second = first\n"})
    assert find_app("proj").main == "one"


def test_the_working_directory_goes_before_other_folders(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": _app("here"), "away/proj.py": _app("away")})
    sys.path.insert(0, str(tmp_path / "away"))
    assert find_app("proj").main == "here"


def test_another_working_directory(write: Write, tmp_path: Path) -> None:
    write(**{"away/proj.py": _app("away")})
    assert find_app("proj", workdir=str(tmp_path / "away")).main == "away"
    assert sys.path[0] == str(tmp_path / "away")
    assert find_app("proj", workdir="away").main == "away"
    assert sys.path.count(str(tmp_path / "away")) == 1


# -- what is not found -------------------------------------------------------------------------------------------


def test_no_such_module_says_where_it_looked_and_what_is_there(write: Write, tmp_path: Path) -> None:
    write(**{"tasks.py": "", "shop/__init__.py": "", "notes.txt": ""})
    asked, looked, cure = _refusal("proj")
    assert "'proj'" in asked
    assert "proj.py" in looked
    assert str(tmp_path) in looked
    assert "tasks, shop" in cure
    assert "--workdir" in cure


def test_no_such_module_suggests_the_nearest(write: Write) -> None:
    write(**{"tasks.py": ""})
    assert "Did you mean tasks?" in _refusal("task")[2]


def test_no_such_module_in_an_empty_or_a_full_folder(write: Write) -> None:
    write()
    assert "Modules there: none." in _refusal("proj")[2]
    write(**{f"zz{number}.py": "" for number in range(10)})
    assert "zz7 and 2 more" in _refusal("proj")[2]


def test_no_such_working_directory(tmp_path: Path) -> None:
    with pytest.raises(AppNotFound, match="Modules there: none"):
        find_app("proj", workdir=str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["", ":app", "proj:", "proj..app", ".proj", "proj:app."])
def test_what_is_no_name(write: Write, name: str) -> None:
    write(**{"proj.py": _app("here")})
    assert "no name" in _refusal(name)[1]


@pytest.mark.parametrize("name", ["src/proj", "./proj"])
def test_a_path_is_told_apart(write: Write, name: str) -> None:
    write(**{"proj.py": _app("here")})
    lines = _refusal(name)
    assert "path" in lines[2] or "slashes" in lines[2]


def test_a_file_name_is_told_apart(write: Write) -> None:
    write(**{"proj.py": _app("here")})
    assert "Leave out the .py: -A proj." in _refusal("proj.py")[2]


def test_no_such_attribute_names_the_app_that_is_there(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": _app("here", "worker_app")})
    _, looked, cure = _refusal("proj:app")
    assert f"Looked for 'app' in proj ({tmp_path}/proj.py)" in looked
    assert "-A proj:worker_app" in cure


def test_no_such_attribute_and_no_app(write: Write) -> None:
    write(**{"proj.py": ""})
    assert "Write app = Celeriac(...)" in _refusal("proj:app")[2]


def test_no_such_attribute_of_an_object(write: Write) -> None:
    write(**{"proj.py": "number = 1\n"})
    assert "The int before it has no attribute 'app'" in _refusal("proj:number.app")[1]


def test_a_module_without_an_app(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": "x = 1\n"})
    _, looked, cure = _refusal("proj")
    assert f"proj ({tmp_path}/proj.py)" in looked
    assert "app = Celeriac('proj')" in cure


def test_a_package_without_an_app_says_that_it_looked_in_submodules(write: Write) -> None:
    write(**{"proj/__init__.py": "", "proj/celery.py": ""})
    assert "proj.celeriac and proj.celery" in _refusal("proj")[1]


def test_a_folder_without_init_and_without_an_app(write: Write) -> None:
    write(**{"proj/notes.txt": ""})
    assert "a folder without __init__.py" in _refusal("proj")[1]


def test_several_apps_are_a_question(write: Write) -> None:
    write(**{"proj.py": _app("a", "red") + _app("b", "blue")})
    _, looked, cure = _refusal("proj")
    assert "blue, red" in looked
    assert "-A proj:blue" in cure


def test_something_that_is_no_app(write: Write) -> None:
    write(**{"proj.py": "app = 5\ndef make_app(): ...\n"})
    assert "a builtins.int" in _refusal("proj:app")[1]
    assert "Call it in the module" in _refusal("proj:make_app")[2]


def test_a_task_is_no_app_and_its_app_is_named(write: Write) -> None:
    write(**{"proj.py": _app("a", "other") + _app("b", "mine") + "@mine.task\ndef add(): ...\n"})
    for name in ("proj:add", "proj.add"):
        _, looked, cure = _refusal(name)
        assert looked.strip() == "What it names is a task, not the app."
        assert cure.strip() == "Name the app: -A proj:mine."


def test_a_task_whose_module_has_no_app(write: Write) -> None:
    write(**{"proj.py": "import celeriac\n@celeriac.Celeriac('x').task\ndef add(): ...\n"})
    assert "where it is defined" in _refusal("proj:add")[2]


def test_an_app_of_celery(write: Write) -> None:
    write(**{"celery.py": "class Celery: ...\n", "proj.py": "from celery import Celery\napp = Celery()\n"})
    assert "an app of Celery" in _refusal("proj:app")[2]


def test_the_library_itself(write: Write) -> None:
    write(**{"celeriac.py": _app("hidden")})
    assert "another name" in _refusal("celeriac")[2]


# -- errors in what is found -------------------------------------------------------------------------------------


def _broken(name: str = "proj") -> list[str]:
    with pytest.raises(AppImportError) as caught:
        find_app(name)
    assert caught.value.__cause__ is not None
    lines = str(caught.value).splitlines()
    assert len(lines) == 3, lines
    return [line.strip() for line in lines]


def test_a_module_that_imports_something_missing(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": "import os\nimport not_there_at_all\n"})
    asked, where, error = _broken()
    assert "importing the module proj failed" in asked
    assert where == f'File "{tmp_path}/proj.py", line 2, in <module>: import not_there_at_all'
    assert error == "ModuleNotFoundError: No module named 'not_there_at_all'"


def test_a_submodule_that_imports_something_missing_from_its_own_package(write: Write) -> None:
    write(**{"proj/__init__.py": "", "proj/celery.py": "from proj import missing\n"})
    assert _broken()[2].startswith("ImportError: cannot import name 'missing'")


def test_the_users_line_is_shown_not_the_librarys(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": "import json\njson.loads('{')\n"})
    _, where, error = _broken()
    assert where == f"File \"{tmp_path}/proj.py\", line 2, in <module>: json.loads('{{')"
    assert error.startswith("json.decoder.JSONDecodeError")


def test_the_last_line_of_the_users_own_code_is_shown(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": "import tasks\n", "tasks.py": "def f():\n    return 1 / 0\nf()\n"})
    assert _broken()[1] == f'File "{tmp_path}/tasks.py", line 2, in f: return 1 / 0'


def test_a_wrong_setting_points_at_the_users_line(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": "from celeriac import Celeriac\napp = Celeriac('x', task_time_limit='soon')\napp.conf\n"})
    _, where, error = _broken()
    assert f'File "{tmp_path}/proj.py"' in where
    assert "task_time_limit" in error


def test_a_syntax_error(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": "x = 1\nif x\n    pass\n"})
    _, where, error = _broken()
    assert where == f'File "{tmp_path}/proj.py", line 2: if x'
    assert error.startswith("SyntaxError")


def test_a_module_that_ends_the_program(write: Write) -> None:
    write(**{"proj.py": "raise SystemExit('bye')\n"})
    assert _broken()[2] == "SystemExit: bye"


def test_a_long_error_stays_one_line(write: Write) -> None:
    write(**{"proj.py": "raise ValueError('one\\ntwo')\n"})
    assert "two" in _broken()[2]


def test_both_are_configuration_errors() -> None:
    assert issubclass(AppImportError, AppNotFound)
    assert issubclass(AppNotFound, ImproperlyConfigured)


# -- the spec ----------------------------------------------------------------------------------------------------


def test_a_spec_loads_the_app_with_its_settings(write: Write) -> None:
    write(
        **{
            "proj.py": _app("here") + "app.conf.task_default_queue = 'own'\n",
            "conf.py": "task_time_limit = 5\ntask_soft_time_limit = 3\n",
        }
    )
    app = AppSpec("proj", settings={"task_soft_time_limit": "4"}, config="conf").load()
    assert app.main == "here"
    assert (app.conf.task_default_queue, app.conf.task_time_limit, app.conf.task_soft_time_limit) == ("own", 5, 4)


def test_a_spec_without_a_name_is_an_empty_app(write: Write) -> None:
    write(**{"conf.py": "task_time_limit = 5\n"})
    app = AppSpec("", config="conf").load()
    assert isinstance(app, Celeriac)
    assert app.conf.task_time_limit == 5


def test_a_spec_refuses_an_unknown_setting(write: Write) -> None:
    write(**{"proj.py": _app("here")})
    with pytest.raises(ImproperlyConfigured, match="task_time_limits"):
        AppSpec("proj", settings={"task_time_limits": 1}).load()


def test_a_spec_travels() -> None:
    spec = AppSpec("proj:app", "/srv", {"include": ["a", "b"], "task_time_limit": 1.5}, "conf")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=AppSpec) == spec


def test_old_names_are_not_told_again_by_executors(write: Write) -> None:
    write(**{"proj.py": _app("here") + "app.conf.CELERY_ACKS_LATE = True\n"})
    with warnings.catch_warnings():
        assert AppSpec("proj", told=True).load().conf.task_acks_late
    sys.modules.pop("proj")
    with pytest.warns(OldSettingNameWarning):
        AppSpec("proj").load()


def test_a_module_in_the_settings_that_is_not_there_is_named(write: Write, tmp_path: Path) -> None:
    write(**{"proj.py": _app("here") + "app.conf.include = ['nowhere.tasks']\n"})
    app = find_app("proj")
    with pytest.raises(AppImportError) as caught:
        import_task_modules(app)
    assert str(caught.value).splitlines() == [
        "The tasks of the app 'here' can not be loaded: the setting include or imports names nowhere.tasks.",
        f"  There is no such module in {tmp_path} or on the Python path.",
        "  ModuleNotFoundError: No module named 'nowhere'",
    ]
