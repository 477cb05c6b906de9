"""`Settings`: reading, writing, what was changed."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any, assert_type

import pytest

from celeriac.config import OldSettingNameWarning, Settings, setting_table
from celeriac.exceptions import ImproperlyConfigured


def test_defaults_by_attribute_and_item() -> None:
    settings = Settings()
    assert settings.task_default_queue == "celery"
    assert settings["task_default_queue"] == "celery"
    assert settings.get("task_default_queue") == "celery"
    assert settings.get("no_such_thing", 3) == 3
    assert settings.broker_url is None
    assert settings.changed() == {}


def test_attributes_are_typed() -> None:
    settings = Settings()
    assert_type(settings.task_time_limit, float | None)
    assert_type(settings.task_acks_late, bool)
    assert_type(settings.broker_transport_options, dict[str, Any])
    assert_type(settings.worker_concurrency, int | None)


def test_a_read_is_a_plain_attribute_read() -> None:
    names = {row.name for row in setting_table()}
    settings = Settings(task_time_limit=3)
    assert vars(settings)["task_time_limit"] == 3
    dictionaries = {row.name for row in setting_table() if isinstance(row.default, dict)}
    for name in names - dictionaries:
        holder = next(cls for cls in Settings.__mro__ if name in vars(cls))
        assert not hasattr(type(vars(holder)[name]), "__get__")


def test_writing() -> None:
    settings = Settings({"task_time_limit": 30}, worker_concurrency=2)
    settings.task_acks_late = False
    settings["task_track_started"] = True
    settings.update({"result_expires": 60}, {"result_expires": 90}, accept_content=["json", "yaml"])
    assert settings.changed() == {
        "accept_content": ("json", "yaml"),
        "task_acks_late": False,
        "task_time_limit": 30,
        "task_track_started": True,
        "worker_concurrency": 2,
        "result_expires": 90,
    }


def test_keyword_arguments_go_before_the_dictionary() -> None:
    assert Settings({"task_time_limit": 30}, task_time_limit=40).task_time_limit == 40


def test_setting_the_default_counts_as_a_change() -> None:
    settings = Settings(task_default_queue="celery")
    assert settings.changed() == {"task_default_queue": "celery"}
    assert settings.value_set_for("task_default_queue")
    assert settings.value_set_for("CELERY_DEFAULT_QUEUE")
    assert not settings.value_set_for("task_time_limit")
    assert not settings.value_set_for("no_such_thing")


def test_deleting_brings_the_default_back() -> None:
    settings = Settings(task_time_limit=3, broker_transport_options={"a": 1})
    del settings.task_time_limit
    del settings.broker_transport_options
    del settings.worker_pool  # was not set
    assert settings.task_time_limit is None
    assert settings.broker_transport_options == {}
    assert settings.changed() == {}
    with pytest.raises(AttributeError, match="did you mean 'worker_pool'"):
        delattr(settings, "worker_pol")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("task_ack_late", "unknown setting 'task_ack_late': did you mean 'task_acks_late'?"),
        ("time_limit", "did you mean 'task_time_limit'?"),
        ("CELERY_ACK_LATE", "unknown setting 'CELERY_ACK_LATE': did you mean 'task_acks_late'?"),
        ("zzzzzzzz", "unknown setting 'zzzzzzzz': `celeriac report --settings` lists all there are"),
        ("couchbase_backend_settings", "there is no Couchbase result backend here"),
        ("CELERY_ARANGODB_BACKEND_SETTINGS", "there is no ArangoDB result backend here"),
    ],
)
def test_unknown_names(name: str, says: str) -> None:
    settings = Settings()
    for write in (
        lambda: setattr(settings, name, 1),
        lambda: settings.__setitem__(name, 1),
        lambda: settings.update({name: 1}),
        lambda: settings.update(**{name: 1}),
        lambda: Settings({name: 1}),
    ):
        with pytest.raises(ImproperlyConfigured) as caught:
            write()
        assert says in str(caught.value)
    with pytest.raises(AttributeError) as read:
        getattr(settings, name)
    assert says in str(read.value)
    with pytest.raises(KeyError) as item:
        settings[name]
    assert says in str(item.value)
    assert name not in settings
    assert not hasattr(settings, name)


def test_update_is_all_or_nothing_and_names_every_fault() -> None:
    settings = Settings(task_time_limit=1)
    with pytest.raises(ImproperlyConfigured) as caught:
        settings.update({"task_time_limit": 2}, {"worker_concurrency": 0, "task_ack_late": True})
    assert "worker_concurrency" in str(caught.value)
    assert "task_ack_late" in str(caught.value)
    assert settings.changed() == {"task_time_limit": 1}


def test_old_names_are_understood_and_reported_once() -> None:
    settings = Settings()
    with pytest.warns(OldSettingNameWarning) as warned:
        settings.update({"CELERY_ACKS_LATE": False, "CELERYD_CONCURRENCY": 2, "task_track_started": True})
    assert [str(each.message) for each in warned] == [
        (
            "old names of settings, please rename:\n"
            "  CELERYD_CONCURRENCY → worker_concurrency\n"
            "  CELERY_ACKS_LATE → task_acks_late"
        )
    ]
    assert warned[0].filename == __file__
    assert settings.task_acks_late is False
    assert settings["CELERY_ACKS_LATE"] is False
    assert "CELERY_ACKS_LATE" in settings
    assert getattr(settings, "CELERYD_CONCURRENCY") == 2  # noqa: B009 - no type checker knows the name
    with pytest.warns(OldSettingNameWarning) as warned:
        settings["CELERY_ACKS_LATE"] = True
    assert warned[0].filename == __file__
    with pytest.warns(OldSettingNameWarning) as warned:
        Settings(CELERY_ACKS_LATE=True)
    assert warned[0].filename == __file__


def test_two_names_that_disagree() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        Settings({"CELERY_ACKS_LATE": False, "task_acks_late": True})
    assert str(caught.value) == (
        "two names of the setting 'task_acks_late' disagree: "
        "'CELERY_ACKS_LATE' is False and 'task_acks_late' is True; keep one"
    )


def test_two_names_that_agree() -> None:
    with pytest.warns(OldSettingNameWarning):
        settings = Settings({"CELERY_TASK_RESULT_EXPIRES": 60.0, "result_expires": 60})
    assert settings.result_expires == 60


def test_names_that_are_not_text() -> None:
    wrong: Any = {3: 4}
    with pytest.raises(ImproperlyConfigured, match="names of settings are text, not 3"):
        Settings(wrong)


def test_default_dictionaries_are_not_shared() -> None:
    one, two = Settings(), Settings()
    one.beat_schedule["hourly"] = {"task": "t"}
    assert one.beat_schedule == {"hourly": {"task": "t"}}
    assert one.changed() == {"beat_schedule": {"hourly": {"task": "t"}}}
    assert two.beat_schedule == {}
    assert two.changed() == {}
    assert Settings.beat_schedule == {}


def test_default_dictionaries_are_one_for_all_threads() -> None:
    settings = Settings()
    start = threading.Barrier(8)
    seen: list[int] = []

    def read() -> None:
        start.wait(10)
        seen.append(id(settings.broker_transport_options))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_as_a_mapping() -> None:
    settings = Settings(task_time_limit=3)
    everything = dict(settings.items())
    assert everything["task_time_limit"] == 3
    assert list(settings) == list(settings.keys()) == [row.name for row in setting_table()]
    assert len(settings) == len(everything) == len(settings.values())
    assert "task_time_limit" in settings
    assert 3 not in settings


def test_copies_and_pickles_are_independent() -> None:
    settings = Settings(task_time_limit=3)
    for twin in (
        copy.copy(settings),
        copy.deepcopy(settings),
        pickle.loads(pickle.dumps(settings)),
        Settings(settings),
    ):
        assert twin.changed() == {"task_time_limit": 3}
        twin.task_time_limit = 4
        twin.worker_concurrency = 1
        assert settings.changed() == {"task_time_limit": 3}


def test_update_from_settings_takes_what_was_set() -> None:
    settings = Settings(task_time_limit=3)
    settings.update(Settings(worker_concurrency=2))
    assert settings.changed() == {"task_time_limit": 3, "worker_concurrency": 2}


def test_table_hides_secrets() -> None:
    settings = Settings(
        broker_url="redis://me:hunter2@h/0",
        redis_password="hunter2",
        broker_transport_options={"password": "hunter2", "timeout": 5},
        task_time_limit=3,
    )
    shown = {
        "task_time_limit": 3,
        "broker_url": "redis://me:********@h/0",
        "broker_transport_options": {"password": "********", "timeout": 5},
        "redis_password": "********",
    }
    assert settings.table() == shown
    assert settings.table(censored=False)["redis_password"] == "hunter2"
    assert settings.table(with_defaults=True).items() >= shown.items()
    assert len(settings.table(with_defaults=True)) == len(settings)
    assert "hunter2" not in repr(settings)
    assert settings.humanize().splitlines()[0] == "task_time_limit: 3"


def test_private_attributes_are_not_looked_up_as_settings() -> None:
    with pytest.raises(AttributeError, match="no attribute '_nothing'"):
        getattr(Settings(), "_nothing")  # noqa: B009 - no type checker knows the name
