"""Where settings come from."""

from __future__ import annotations

import datetime as dt
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.config import (
    OldSettingNameWarning,
    Settings,
    environment_settings,
    load_settings,
    load_settings_from_envvar,
)
from celeriac.exceptions import ImproperlyConfigured

MakeModule = Callable[[str, str], str]


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> MakeModule:
    """Writes a module of its own name for each test and puts it on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, text: str) -> str:
        unique = f"{name}_{abs(hash(request.node.nodeid))}"
        (tmp_path / f"{unique}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        return unique

    return make


def test_a_dictionary() -> None:
    assert load_settings({"task_time_limit": 30, "result_expires": dt.timedelta(hours=1)}) == {
        "task_time_limit": 30,
        "result_expires": 3600.0,
    }


def test_every_key_of_a_dictionary_must_be_a_setting() -> None:
    with pytest.raises(ImproperlyConfigured, match="unknown setting 'debug'"):
        load_settings({"debug": True})


def test_an_object_and_a_class() -> None:
    class Base:
        task_time_limit = 30

    class Config(Base):
        worker_concurrency = 2
        helper = 7
        _private = 3

        def method(self) -> None: ...

    wanted = {"task_time_limit": 30, "worker_concurrency": 2}
    assert load_settings(Config) == wanted
    assert load_settings(Config()) == wanted
    assert load_settings(types.SimpleNamespace(**wanted)) == wanted


def test_settings_as_a_source() -> None:
    assert load_settings(Settings(task_time_limit=3)) == {"task_time_limit": 3}


def test_a_module_by_name_with_helpers_and_imports(make_module: MakeModule) -> None:
    name = make_module(
        "config",
        """
        import os
        from datetime import timedelta, timezone

        redis_url = "redis://h"
        hours = 2
        broker_url = redis_url + "/1"
        result_expires = timedelta(hours=hours)

        def include():
            return 1

        def task_routes(name, args, kwargs, options, task=None, **kw):
            return None
        """,
    )
    loaded = load_settings(name)
    routes = loaded.pop("task_routes")
    assert callable(routes)
    assert loaded == {"broker_url": "redis://h/1", "result_expires": 7200.0}


def test_a_misspelt_name_in_a_module(make_module: MakeModule) -> None:
    name = make_module("config", "task_ack_late = True\nhelper = 1\n")
    with pytest.raises(ImproperlyConfigured) as caught:
        load_settings(name)
    assert str(caught.value) == f"in {name}: unknown setting 'task_ack_late': did you mean 'task_acks_late'?"


def test_a_function_with_nearly_a_settings_name_is_let_be(make_module: MakeModule) -> None:
    assert load_settings(make_module("config", "def task_ack_late(): ...\n")) == {}


def test_every_fault_of_a_source_is_named(make_module: MakeModule) -> None:
    name = make_module("config", "task_ack_late = True\nworker_concurrency = 0\ncouchbase_backend_settings = {}\n")
    with pytest.raises(ImproperlyConfigured) as caught:
        load_settings(name)
    for fault in ("task_ack_late", "worker_concurrency", "Couchbase"):
        assert fault in str(caught.value)


def test_attributes_that_are_no_settings_are_not_read() -> None:
    class Config:
        task_time_limit = 3

        @property
        def costly(self) -> int:
            raise AssertionError("must not be read")

    assert load_settings(Config()) == {"task_time_limit": 3}


@pytest.mark.parametrize("form", ["{name}:Nested.config", "{name}:obj", "{name}.obj", "{name}.Nested", "{name}:Nested"])
def test_an_object_in_a_module(make_module: MakeModule, form: str) -> None:
    name = make_module(
        "config",
        """
        class Nested:
            task_time_limit = 3
            config = {"task_time_limit": 3}

        obj = {"task_time_limit": 3}
        """,
    )
    assert load_settings(form.format(name=name)) == {"task_time_limit": 3}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("no_such_module_at_all", "can not load settings from 'no_such_module_at_all': there is no module"),
        ("no_such_module.config", "there is no module 'no_such_module' on the path"),
        ("no_such_module:config", "there is no module 'no_such_module' on the path"),
        ("json.no_such_thing", "there is no module 'json.no_such_thing' on the path"),
        ("json:no_such_thing", "there is no 'no_such_thing' in it"),
        ("celeryconfig.py", "give the module's name, 'celeryconfig'"),
        ("", "it is not the full name of a module"),
        (".relative", "it is not the full name of a module"),
    ],
)
def test_a_source_that_is_not_there(source: str, says: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load_settings(source)
    assert says in str(caught.value)


def test_a_module_that_fails_shows_its_own_error(make_module: MakeModule) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        load_settings(make_module("config", "import no_such_dependency\n"))
    with pytest.raises(ValueError, match="its own"):
        load_settings(make_module("other", "raise ValueError('its own')\n"))


# -- namespaces ---------------------------------------------------------------------------------------------------


class Django:
    """Like Django's settings: upper-case names of everybody."""

    SECRET_KEY = "x"
    DEBUG = True
    TIME_ZONE = "UTC"
    CELERYD_CONCURRENCY = 99
    BROKER_URL = "other://"
    CELERY_TASK_TIME_LIMIT = 30
    CELERY_BROKER_URL = "redis://h"
    CELERY_RESULT_EXPIRES = 60


@pytest.mark.parametrize("namespace", ["CELERY", "CELERY_"])
def test_a_namespace(namespace: str) -> None:
    assert load_settings(Django, namespace=namespace) == {
        "broker_url": "redis://h",
        "result_expires": 60,
        "task_time_limit": 30,
    }


def test_an_unknown_name_in_a_namespace() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load_settings({"CELERY_TASK_ACK_LATE": True, "OTHER": 1}, namespace="CELERY")
    assert str(caught.value) == "unknown setting 'CELERY_TASK_ACK_LATE': did you mean 'CELERY_TASK_ACKS_LATE'?"


def test_an_old_name_in_a_namespace() -> None:
    with pytest.warns(OldSettingNameWarning, match="CELERY_ACKS_LATE → CELERY_TASK_ACKS_LATE"):
        assert load_settings({"CELERY_ACKS_LATE": False}, namespace="CELERY") == {"task_acks_late": False}


def test_other_namespaces() -> None:
    assert load_settings({"QUEUE_TASK_TIME_LIMIT": 3, "CELERY_X": 1}, namespace="QUEUE") == {"task_time_limit": 3}
    assert load_settings({"queue_task_time_limit": 3}, namespace="queue") == {"task_time_limit": 3}
    with pytest.raises(ImproperlyConfigured, match="did you mean 'queue_task_time_limit'"):
        load_settings({"queue_task_time_limi": 3}, namespace="queue")
    with pytest.raises(ImproperlyConfigured, match="no Couchbase"):
        load_settings({"QUEUE_COUCHBASE_BACKEND_SETTINGS": 3}, namespace="QUEUE")


# -- old names ----------------------------------------------------------------------------------------------------


def test_old_names_in_a_module_give_one_warning(make_module: MakeModule) -> None:
    name = make_module(
        "config", "import os\nCELERYD_CONCURRENCY = 2\nCELERY_RESULT_EXPIRES = 60\nSECRET_KEY = 'x'\nDEBUG = True\n"
    )
    with pytest.warns(OldSettingNameWarning) as warned:
        assert load_settings(name) == {"worker_concurrency": 2, "result_expires": 60}
    assert len(warned) == 1
    assert str(warned[0].message) == (
        f"old names of settings in {name}, please rename:\n"
        "  CELERYD_CONCURRENCY → worker_concurrency\n"
        "  CELERY_RESULT_EXPIRES → result_expires"
    )
    assert Path(warned[0].filename).stem == name
    assert warned[0].lineno == 2


def test_a_forgotten_namespace_is_understood() -> None:
    # Celery ignores this name in silence when the namespace is not given
    with pytest.warns(OldSettingNameWarning, match="CELERY_WORKER_CONCURRENCY → worker_concurrency"):
        assert load_settings({"CELERY_WORKER_CONCURRENCY": 2}) == {"worker_concurrency": 2}


def test_old_and_new_names_that_disagree() -> None:
    with pytest.raises(ImproperlyConfigured, match="two names of the setting 'broker_url' disagree") as caught:
        load_settings({"BROKER_URL": "redis://:hunter2@a", "broker_url": "redis://b"})
    assert "hunter2" not in str(caught.value)


# -- the environment ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "loaded"),
    [
        ({}, {}),
        ({"CELERY_BROKER_URL": "a://"}, {"broker_url": "a://"}),
        ({"CELERY_BROKER_URL": "a://", "CELERIAC_BROKER_URL": "b://"}, {"broker_url": "b://"}),
        ({"CELERY_BROKER_URL": "a://", "CELERIAC_BROKER_URL": ""}, {"broker_url": "a://"}),
        (
            {"CELERY_RESULT_BACKEND": "disabled", "CELERY_BROKER_READ_URL": "c://"},
            {"broker_read_url": "c://", "result_backend": "disabled"},
        ),
        ({"CELERIAC_RESULT_BACKEND": "d://", "CELERY_SOMETHING": "x"}, {"result_backend": "d://"}),
    ],
)
def test_environment(environ: dict[str, str], loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_settings(environ) == loaded
    for name in ("CELERY", "CELERIAC"):
        for setting in ("BROKER_URL", "RESULT_BACKEND", "BROKER_READ_URL", "BROKER_WRITE_URL"):
            monkeypatch.delenv(f"{name}_{setting}", raising=False)
    for variable, text in environ.items():
        monkeypatch.setenv(variable, text)
    assert environment_settings() == loaded


def test_from_an_environment_variable(make_module: MakeModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJ_CONFIG", make_module("config", "task_time_limit = 3\nCELERY_ACKS_LATE = True\n"))
    with pytest.warns(OldSettingNameWarning):
        assert load_settings_from_envvar("PROJ_CONFIG") == {"task_acks_late": True, "task_time_limit": 3}
    assert load_settings_from_envvar("PROJ_CONFIG", namespace="CELERIAC") == {}


def test_from_an_environment_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROJ_CONFIG", raising=False)
    with pytest.raises(ImproperlyConfigured, match="the environment variable 'PROJ_CONFIG' is not set"):
        load_settings_from_envvar("PROJ_CONFIG")
    assert load_settings_from_envvar("PROJ_CONFIG", silent=True) == {}
    monkeypatch.setenv("PROJ_CONFIG", " ")
    with pytest.raises(ImproperlyConfigured, match="is not set"):
        load_settings_from_envvar("PROJ_CONFIG")


def test_an_old_name_in_a_dictionary_points_to_the_users_line() -> None:
    with pytest.warns(OldSettingNameWarning) as warned:
        load_settings({"CELERY_ACKS_LATE": True})
    assert warned[0].filename == __file__


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_URL", "RESULT_BACKEND"):
        monkeypatch.delenv(f"CELERIAC_{name}", raising=False)
        monkeypatch.setenv(f"CELERY_{name}", "env://")
    source = {"broker_url": "source://", "result_backend": "source://", "task_time_limit": 1, "worker_concurrency": 1}
    app = Celeriac("order", config_source=source, backend="assigned://", worker_concurrency=2, set_as_current=False)
    assert app.conf.broker_url == "env://"
    assert app.conf.result_backend == "assigned://"
    assert app.conf.task_time_limit == 1
    assert app.conf.worker_concurrency == 2
    assert app.conf.task_default_queue == "celery"
