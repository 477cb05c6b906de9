"""Warnings about settings: how long they are, where they point, and what they leave out."""

from __future__ import annotations

import sys
import types
import warnings
from pathlib import Path

import pytest

from celeriac import Celeriac
from celeriac.config import (
    InactiveSettingWarning,
    OldSettingNameWarning,
    Settings,
    inactive_settings,
    load_settings,
    warn_about_inactive,
)
from celeriac.config.notices import Source, listed, source_of, warn_about_old_names


def test_settings_without_effect_are_told_in_one_warning() -> None:
    settings = Settings(task_send_sent_event=True, beat_schedule={"hourly": {"task": "t"}}, task_time_limit=3)
    with pytest.warns(InactiveSettingWarning) as warned:
        warn_about_inactive(settings)
    assert [str(each.message) for each in warned] == [
        "set, without effect in this version: task_send_sent_event, beat_schedule (`celeriac report` says more)"
    ]
    assert warned[0].filename == __file__


def test_a_setting_that_never_has_an_effect_is_harmless() -> None:
    assert inactive_settings(Settings(worker_timer="proj:Timer")) == []


@pytest.mark.parametrize(
    "values", [{}, {"beat_schedule": {}}, {"security_key": ""}, {"worker_send_task_events": False}]
)
def test_what_asks_for_nothing_is_not_told(values: dict[str, object]) -> None:
    settings = Settings(values)
    assert inactive_settings(settings) == []
    warn_about_inactive(settings)


def test_a_long_list_is_cut() -> None:
    assert listed(list("abc"), limit=2) == ["a", "b", "c"]
    assert listed(list("abcd"), limit=2) == ["a", "b", "and 2 more"]


def test_many_old_names_are_a_few_lines() -> None:
    with pytest.warns(OldSettingNameWarning) as warned:
        warn_about_old_names({f"OLD_{number:02}": f"new_{number}" for number in range(40)}, Source("proj.conf"))
    lines = str(warned[0].message).splitlines()
    assert lines[0] == "old names of settings in proj.conf, please rename:"
    assert lines[1] == "  OLD_00 → new_0"
    assert lines[-1] == "  and 30 more"
    assert len(lines) == 12


def test_old_names_in_a_class_point_to_its_file() -> None:
    class Config:
        CELERY_ACKS_LATE = True

    with pytest.warns(OldSettingNameWarning, match="in Config, please") as warned:
        load_settings(Config)
    assert warned[0].filename == __file__
    assert "CELERY_ACKS_LATE" in Path(__file__).read_text(encoding="utf-8").splitlines()[warned[0].lineno - 1]


def test_an_old_name_given_to_an_app_is_told_once_and_goes_before_the_config_source() -> None:
    with pytest.warns(OldSettingNameWarning) as warned:
        app = Celeriac("old", CELERY_ACKS_LATE=False, set_as_current=False)
    assert len(warned) == 1
    app.config_from_object({"task_acks_late": True}, force=True)  # no second warning, which would be an error
    assert app.conf.task_acks_late is False


def test_a_source_whose_file_can_not_be_read_points_to_the_user(tmp_path: Path) -> None:
    with pytest.warns(OldSettingNameWarning, match="in conf, please") as warned:
        warn_about_old_names({"OLD": "new"}, Source("conf", str(tmp_path / "gone.py")))
    assert warned[0].filename == __file__


def test_sources_have_names_and_files() -> None:
    module = types.ModuleType("conf")
    module.__file__ = "/srv/conf.py"
    assert source_of(module, module) == Source("conf", "/srv/conf.py")
    assert source_of({}, {}) == Source()
    assert source_of("json:tool", object()) == Source("json:tool", sys.modules["json"].__file__)
    assert source_of("json.tool", object()) == Source("json.tool", sys.modules["json"].__file__)


def test_a_warning_never_points_into_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings may be asked for by the command only: no line of the user's is to be found then."""
    program = types.ModuleType("__main__")
    code = compile("call()", "/usr/bin/celeriac", "exec")
    monkeypatch.setattr("inspect.currentframe", lambda: _frame_of(program, code))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_about_inactive(Settings(task_send_sent_event=True))
    assert (told[0].filename, told[0].lineno) == ("celeriac", 0)


def _frame_of(program: types.ModuleType, code: types.CodeType) -> types.SimpleNamespace:
    return types.SimpleNamespace(f_globals=vars(program), f_code=code, f_back=None)
