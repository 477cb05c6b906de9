"""The app: settings, current app, discovery, parts and life."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

import celeriac
from celeriac import Celeriac, Task, get_current_app, signals
from celeriac.current import set_current_app, set_default_app
from celeriac.exceptions import ImproperlyConfigured
from celeriac.timezones import timezone_of


@pytest.fixture(autouse=True)
def no_current_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("CELERY_BROKER_URL", "CELERIAC_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.delenv(variable, raising=False)
    before = get_current_app()
    set_current_app(None)
    set_default_app(None)
    yield
    set_current_app(None)
    set_default_app(before)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


# -- settings ----------------------------------------------------------------------------------------------------------


def test_settings_from_the_constructor() -> None:
    app = Celeriac("x", broker="memory://a", backend="memory://b", include=["m"], task_time_limit=3)
    assert (app.conf.broker_url, app.conf.result_backend, tuple(app.conf.include)) == (
        "memory://a",
        "memory://b",
        ("m",),
    )
    assert app.conf.task_time_limit == 3
    assert Celeriac(changes={"task_time_limit": 4}).conf.task_time_limit == 4


def test_a_wrong_setting_is_told_where_it_is_given() -> None:
    with pytest.raises(ImproperlyConfigured, match="task_time_limit"):
        Celeriac("x", task_time_limt=3)
    with pytest.raises(ImproperlyConfigured, match="task_time_limit"):
        Celeriac("x", task_time_limit="soon")


def test_settings_are_read_when_they_are_first_needed() -> None:
    source: dict[str, Any] = {}
    app = Celeriac("x", broker="memory://")
    app.config_from_object(source)
    source["task_time_limit"] = 3
    assert app.conf.task_time_limit == 3
    assert app.conf.broker_url == "memory://"


def test_config_from_object_after_settings_were_read() -> None:
    app = Celeriac("x", broker="memory://")
    assert app.conf.task_time_limit is None
    conf = app.conf
    app.config_from_object({"task_time_limit": 3, "broker_url": "memory://other"})
    assert conf.task_time_limit == 3
    assert conf.broker_url == "memory://"  # what the app was given goes before


def test_config_from_names(on_path: Path) -> None:
    (on_path / "my_config.py").write_text("CELERY_TASK_TIME_LIMIT = 3\nDEBUG = True\n")
    app = Celeriac("x", broker="memory://")
    app.config_from_object("my_config", namespace="CELERY")
    assert app.conf.task_time_limit == 3
    app.config_from_object("no_such_config", silent=True)
    app.config_from_object("no.such.config", silent=True)
    with pytest.raises(ImproperlyConfigured, match="no_such_config"):
        app.config_from_object("no_such_config", force=True)
    by_source = Celeriac("x", config_source="my_config", namespace="CELERY")
    assert by_source.conf.task_time_limit == 3


def test_config_from_envvar(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (on_path / "env_config.py").write_text("task_time_limit = 3\n")
    monkeypatch.setenv("MY_CONFIG", "env_config")
    app = Celeriac("x", broker="memory://")
    assert app.config_from_envvar("MY_CONFIG")
    assert app.conf.task_time_limit == 3
    assert not app.config_from_envvar("NO_CONFIG", silent=True)
    with pytest.raises(ImproperlyConfigured, match="NO_CONFIG"):
        app.config_from_envvar("NO_CONFIG")


def test_the_environment_goes_before_the_config_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://env")
    app = Celeriac("x", config_source={"broker_url": "memory://source"})
    assert app.conf.broker_url == "memory://env"
    assert Celeriac("x", broker="memory://given").conf.broker_url == "memory://given"


def test_configure_signals() -> None:
    app = Celeriac("x", broker="memory://")
    heard: list[Any] = []
    app.on_configure.connect(lambda **_: heard.append("configure"), weak=False)
    app.on_after_configure.connect(lambda source, **_: heard.append(source), weak=False)
    app.on_after_finalize.connect(lambda **_: heard.append("finalized"), weak=False)
    conf = app.conf
    app.finalize()
    app.finalize()
    assert heard == ["configure", conf, "finalized"]


# -- parts -------------------------------------------------------------------------------------------------------------


def test_the_default_is_the_embedded_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Celeriac("x") as app:
        assert str(tmp_path / "celeriac.sqlite3") in app.broker.address
        assert app.stores_results
        assert list(tmp_path.iterdir()) == []  # nothing is made before it is used


def test_threads_get_the_same_parts() -> None:
    app = Celeriac("x", broker="memory://")
    barrier = threading.Barrier(8)
    parts: list[Any] = []

    def look() -> None:
        barrier.wait()
        parts.append((app.broker, app.backend, app.conf, app.tasks))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(map(id, each)) for each in parts}) == 1


def test_a_closed_app_connects_anew_and_is_not_current() -> None:
    app = Celeriac("x", broker="memory://")
    first = app.broker
    assert get_current_app() is app
    app.close()
    app.close()
    assert get_current_app() is not app
    assert app.broker is not first


def test_disabled_results() -> None:
    assert not Celeriac("x", broker="memory://", backend="disabled://").stores_results
    assert Celeriac("x", broker="memory://").stores_results


# -- time --------------------------------------------------------------------------------------------------------------


def test_timezones() -> None:
    app = Celeriac("x", broker="memory://")
    assert app.timezone is UTC
    app.conf.timezone = "Asia/Tokyo"
    assert app.now().utcoffset() == timedelta(hours=9)
    app.conf.timezone = "utc"
    assert app.timezone is UTC
    app.conf.timezone = None
    app.conf.enable_utc = False
    assert app.now().tzinfo is not None


def test_a_timezone_that_is_not_there() -> None:
    with pytest.raises(ImproperlyConfigured, match="Atlantis"):
        Celeriac("x", broker="memory://", timezone="Atlantis/Capital").now()
    with pytest.raises(ImproperlyConfigured, match="Atlantis"):
        timezone_of("Atlantis/Capital", enable_utc=True)


@pytest.mark.parametrize("source", [None, 3, ["task_time_limit"], b"settings"])
def test_a_config_source_that_has_no_settings_was_taken(source: object) -> None:
    with pytest.raises(ImproperlyConfigured, match="config_from_object"):
        Celeriac("x", broker="memory://").config_from_object(source)


@pytest.mark.parametrize(
    ("setting", "value"), [("broker_url", "memory://b"), ("BROKER_URL", "memory://b"), ("result_backend", "memory://b")]
)
@pytest.mark.filterwarnings("ignore:old names of settings")
def test_a_broker_that_is_in_use_was_changed_without_effect(setting: str, value: str) -> None:
    app = Celeriac("x", broker="memory://a")
    app.send_task("t")
    assert app.stores_results
    with pytest.raises(ImproperlyConfigured, match=r"app\.close\(\)"):
        app.conf.update({"task_time_limit": 3, setting: value})
    assert app.conf.task_time_limit is None, "all or nothing"
    app.conf.update(broker_url="memory://a", task_time_limit=3)
    app.close()
    app.conf[setting] = value
    assert (app.backend if "result" in setting else app.broker).address == "memory://b"
    assert copy.copy(app.conf).changed() == copy.deepcopy(app.conf).changed() == app.conf.changed()


# -- the current app ---------------------------------------------------------------------------------------------------


def seen_in_a_thread() -> Celeriac:
    seen: list[Celeriac] = []
    thread = threading.Thread(target=lambda: seen.append(get_current_app()))
    thread.start()
    thread.join()
    return seen[0]


def test_the_last_app_of_a_thread_is_its_current_one_the_first_the_default_of_all() -> None:
    first = Celeriac("first", broker="memory://")
    second = Celeriac("second", broker="memory://")
    aside = Celeriac("aside", broker="memory://", set_as_current=False)
    assert get_current_app() is second
    assert seen_in_a_thread() is first
    aside.set_default()
    assert seen_in_a_thread() is aside
    first.set_current()
    assert get_current_app() is first


def test_without_an_app_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "memory://made")
    made = get_current_app()
    assert (made.main, made.conf.broker_url) == ("default", "memory://made")
    assert get_current_app() is made
    assert seen_in_a_thread() is made


# -- tasks -------------------------------------------------------------------------------------------------------------


def test_autofinalize_off() -> None:
    app = Celeriac("x", broker="memory://", autofinalize=False)
    with pytest.raises(RuntimeError, match="finalize"):
        app.tasks  # noqa: B018
    app.finalize()
    assert len(app.tasks) >= 0


def test_autodiscovery(on_path: Path) -> None:
    for package, module in (("shop", "tasks"), ("blog", "jobs"), ("empty", "nothing")):
        (on_path / package).mkdir()
        (on_path / package / "__init__.py").write_text("")
        (on_path / package / f"{module}.py").write_text(
            "from celeriac import shared_task\n@shared_task\ndef found(): ...\n"
        )
    (on_path / "single.py").write_text("from celeriac import shared_task\n@shared_task\ndef alone(): ...\n")
    app = Celeriac("x", broker="memory://")
    app.autodiscover_tasks(["shop", "empty", "single"])
    app.autodiscover_tasks(lambda: ["blog"], related_name="jobs")
    app.autodiscover_tasks(["single"], related_name=None)
    assert "shop.tasks.found" not in app.tasks
    app.import_modules()
    assert {"shop.tasks.found", "blog.jobs.found", "single.alone"} <= set(app.tasks)
    assert "empty.nothing.found" not in app.tasks


def test_autodiscovery_now_and_its_errors(on_path: Path) -> None:
    (on_path / "broken").mkdir()
    (on_path / "broken" / "__init__.py").write_text("")
    (on_path / "broken" / "tasks.py").write_text("import no_such_module_at_all\n")
    app = Celeriac("x", broker="memory://")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        app.autodiscover_tasks(["broken"], force=True)
    with pytest.raises(ModuleNotFoundError, match="no_package"):
        app.autodiscover_tasks(["no_package"], force=True)


def test_autodiscovery_takes_one_name(on_path: Path) -> None:
    (on_path / "shop1").mkdir()
    (on_path / "shop1" / "__init__.py").write_text("")
    (on_path / "shop1" / "tasks.py").write_text("")
    app = Celeriac("x", broker="memory://")
    app.autodiscover_tasks("shop1", force=True)
    assert "shop1.tasks" in sys.modules
    app.autodiscover_tasks(lambda: "shop1", force=True)
    with pytest.raises(TypeError, match="get_app_configs"):
        app.autodiscover_tasks()


def test_what_is_no_task_is_refused_where_it_is_given() -> None:
    app = Celeriac("x", broker="memory://")
    with pytest.raises(TypeError, match="subclass of celeriac"):
        app.task(base=int)(print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="subclass of celeriac"):
        Celeriac("x", task_cls=int)  # type: ignore[arg-type]
    wrongs: list[Any] = [print, int, 5]
    for wrong in wrongs:
        with pytest.raises(TypeError, match="register_task takes a task"):
            app.register_task(wrong)
    with pytest.raises(TypeError, match="result_backend"):
        app.task(backend="memory://")(print)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="origin= is not an option"):
        app.task(origin="here")(print)  # type: ignore[call-overload]


def test_import_modules_takes_imports_and_include(on_path: Path) -> None:
    for name in ("mod_a", "mod_b"):
        (on_path / f"{name}.py").write_text("")
    app = Celeriac("x", broker="memory://", include=["mod_a"], imports=["mod_b", "mod_a"])
    heard: list[Any] = []

    def hear(sender: Any, **_: Any) -> None:
        heard.append(sender)

    signals.import_modules.connect(hear)
    app.import_modules()
    signals.import_modules.disconnect(hear)
    assert {"mod_a", "mod_b"} <= set(sys.modules)
    assert heard == [app]


def test_worker_main_runs_the_command_line_for_this_app(on_path: Path) -> None:
    (on_path / "prog.py").write_text(
        "from celeriac import Celeriac\n"
        "app = Celeriac('prog', broker='memory://')\n"
        "@app.task\n"
        "def add(): ...\n"
        "if __name__ == '__main__':\n"
        "    app.worker_main(['worker', '--help'])\n"
    )
    command = [sys.executable, "prog.py"]
    done = subprocess.run(command, cwd=on_path, capture_output=True, text=True, timeout=60, check=True)
    assert "--concurrency" in done.stdout
    with pytest.raises(ImproperlyConfigured, match="assign it to a variable of a module"):
        Celeriac("hidden", broker="memory://").worker_main(["worker"])


# -- the package -------------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, celeriac; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"pydantic", "yaml", "rich", "click", "email", "http", "urllib.request", "sqlite3", "multiprocessing",
             "random", "zoneinfo", "difflib", "pathlib", "pickle"}  # fmt: skip
    assert heavy.isdisjoint(done.stdout.split())


def test_public_names_are_there() -> None:
    assert all(hasattr(celeriac, name) for name in celeriac.__all__)


def test_the_readmes_program() -> None:
    app = Celeriac("tasks", broker="memory://readme")

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    assert add(4, 6) == 10
    assert isinstance(add, Task)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert add.delay(4, 6).state == "PENDING"
