"""The table against Celery's, and its own consistency."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from celeriac.config import Settings, setting_table
from celeriac.config.celery_only import left_out, reason_without
from celeriac.config.convert import convert, expected
from celeriac.config.schema import OLD_NAMES, SECTIONS, TABLE, find, resembles_a_setting
from celeriac.config.table import LATER, SettingInfo, heading_of

CELERY = [
    tuple(line.split("\t"))
    for line in Path(__file__).with_name("celery_settings.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]

# Our defaults where they differ on purpose.
OTHER_DEFAULTS = {
    "task_create_missing_queue_type": "quorum",
    "task_default_queue_type": "quorum",
    "task_acks_late": True,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    # a number of seconds, where Celery has a timedelta
    "result_expires": 86400.0,
    # None stands for our own class
    "worker_autoscaler": None,
    "worker_consumer": None,
    "beat_scheduler": None,
}

# In Celery's documentation, but not understood by its code (5.7.0).
DOCUMENTED_ONLY = {
    "CELERY_ENABLE_UTC": "enable_utc",
    "CASSANDRA_COLUMN_FAMILY": "cassandra_table",
    "CELERY_REDIS_BACKEND_CREDENTIAL_PROVIDER": "redis_backend_credential_provider",
    "CELERY_RESULT_EXPIRES": "result_expires",
    "CELERY_RESULT_DB_TABLE_NAMES": "database_table_names",
    "CELERY_TASK_ALWAYS_EAGER": "task_always_eager",
    "CELERY_COMPRESSION": "task_compression",
    "CELERY_EAGER_PROPAGATES": "task_eager_propagates",
    "CELERY_PUBLISH_RETRY": "task_publish_retry",
    "CELERY_PUBLISH_RETRY_POLICY": "task_publish_retry_policy",
    "CELERY_SEND_SENT_EVENT": "task_send_sent_event",
    "CELERYD_SOFT_TIME_LIMIT": "task_soft_time_limit",
    "CELERYD_TIME_LIMIT": "task_time_limit",
    "CELERY_TASK_TRACK_STARTED": "task_track_started",
    "CELERY_TASK_REJECT_ON_WORKER_LOST": "task_reject_on_worker_lost",
    "CELERY_WORKER_LOG_FORMAT": "worker_log_format",
    "CELERY_WORKER_TASK_LOG_FORMAT": "worker_task_log_format",
    "CELERYD_REDIRECT_STDOUTS": "worker_redirect_stdouts",
    "CELERYD_REDIRECT_STDOUTS_LEVEL": "worker_redirect_stdouts_level",
    "CELERY_MESSAGE_COMPRESSION": "task_compression",
}


def test_all_of_celerys_settings_are_known() -> None:
    assert len(CELERY) == 207
    assert {name for name, _, _ in CELERY} - set(TABLE) == set(left_out()) - {"firestore_project"}


@pytest.mark.parametrize(("name", "old"), [(name, old) for name, old, _ in CELERY])
def test_celerys_old_names_lead_to_the_new_ones(name: str, old: str) -> None:
    if name in left_out():
        assert reason_without(old) == left_out()[name]
        return
    row = find(old)
    assert row is not None
    assert row.name == name


@pytest.mark.parametrize(("old", "name"), DOCUMENTED_ONLY.items())
def test_names_that_celery_only_documents_are_understood(old: str, name: str) -> None:
    assert OLD_NAMES[old] == name


@pytest.mark.parametrize(("name", "default"), [(n, d) for n, _, d in CELERY if n not in left_out()])
def test_defaults_are_celerys_unless_we_say_otherwise(name: str, default: str) -> None:
    if name in OTHER_DEFAULTS:
        assert TABLE[name].default == OTHER_DEFAULTS[name]
    else:
        assert TABLE[name].default == (float("inf") if default == "inf" else ast.literal_eval(default))


def test_our_own_settings() -> None:
    assert {row.name: row.default for row in setting_table() if row.own} == {
        "task_max_deliveries": 5,
        "task_message_size_limit": 16 * 1024 * 1024,
        "task_message_inflated_size_limit": 128 * 1024 * 1024,
        "task_executor": None,
        "worker_lease_seconds": 10.0,
        "worker_asyncio_concurrency": 100,
        "worker_thread_concurrency": 8,
        "worker_hard_limit_grace": 1.0,
    }


def test_no_name_is_given_twice() -> None:
    rows = setting_table()
    assert len({row.name for row in rows}) == len(rows) == len(TABLE)
    old = [name for row in rows for name in row.old]
    assert len(set(old)) == len(old)
    assert not set(old) & set(TABLE)


def test_an_upper_case_name_never_means_two_settings() -> None:
    # CELERY_ and a new name is understood without a namespace, too; it must agree with the old names
    for name in TABLE:
        generic = f"CELERY_{name.upper()}"
        assert OLD_NAMES.get(generic, name) == name


@pytest.mark.parametrize("row", setting_table(), ids=lambda row: str(row.name))
def test_every_row_is_whole(row: SettingInfo) -> None:
    assert row.name == row.name.lower()
    assert row.doc.endswith(".")
    assert row.type is not None
    assert expected(row)
    assert row.type_text
    assert not (row.later and row.moot)
    assert row.is_active == (row.availability == "")
    # the default is a value that one could set, and stays itself
    assert convert(row, row.default) == row.default or row.default in row.aliases


def test_every_section_has_a_title() -> None:
    titles = [heading_of(section)[0] for section in SECTIONS]
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_settings_has_all_sections() -> None:
    assert set(SECTIONS) <= set(Settings.__mro__)


def test_availability_is_said_in_words() -> None:
    assert TABLE["task_acks_late"].is_active
    assert TABLE["task_acks_late"].availability == ""
    assert not TABLE["task_send_sent_event"].is_active
    assert TABLE["task_send_sent_event"].availability == "takes effect once events are there"
    assert not TABLE["worker_timer"].is_active
    assert TABLE["worker_timer"].availability == "no effect: timers are asyncio's"
    assert {row.later for row in setting_table() if row.later} == set(LATER)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("task_ack_late", True),
        ("broker_uri", True),
        ("CELERY_ACK_LATE", True),
        ("couchbase_backend_settings", True),
        ("redis_url", False),
        ("broker", False),
        ("debug", False),
        ("SECRET_KEY", False),
        ("DATABASES", False),
        ("TIME_ZONE", False),
        ("CACHES", False),
    ],
)
def test_what_counts_as_a_misspelling(name: str, near: bool) -> None:
    assert resembles_a_setting(name) is near


def test_types_are_resolved_per_section_and_kept() -> None:
    hint: Any = TABLE["task_time_limit"].type
    assert hint == float | None
    assert TABLE["task_time_limit"].type_text == "float | None"
