"""The banner: all the facts, aligned, and no more than fits."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from celeriac.worker.banner import TASKS_SHOWN, BannerFacts, banner_text


def _facts(**changes: Any) -> BannerFacts:
    values: dict[str, Any] = {
        "hostname": "w1@box",
        "pid": 4711,
        "version": "1.2.3",
        "platform": "Linux 6.1 x86_64, CPython 3.11.7",
        "app": "shop (-A proj)",
        "broker": "sqlite:////srv/shop/celeriac.sqlite3",
        "results": "sqlite:////srv/shop/celeriac.sqlite3",
        "executors": ("2 processes", "100 coroutines at a time for async def tasks"),
        "queues": ("celery", "mail"),
        "tasks": ("shop.b", "shop.a", "celery.ping"),
    }
    return BannerFacts(**{**values, **changes})


def test_it_tells_everything() -> None:
    assert banner_text(_facts(loglevel=logging.INFO, logfile="/var/log/w1.log")) == (
        " w1@box  celeriac 1.2.3  process 4711\n"
        " Linux 6.1 x86_64, CPython 3.11.7\n"
        "\n"
        " app        shop (-A proj)\n"
        " broker     sqlite:////srv/shop/celeriac.sqlite3\n"
        " results    sqlite:////srv/shop/celeriac.sqlite3\n"
        " executors  2 processes\n"
        "            100 coroutines at a time for async def tasks\n"
        " queues     celery\n"
        "            mail\n"
        " log        /var/log/w1.log\n"
        " tasks      shop.a\n"
        "            shop.b"
    )


def test_tasks_are_not_listed_above_info() -> None:
    assert "shop.a" not in banner_text(_facts(loglevel=logging.WARNING))


def test_debug_lists_all_tasks_with_the_built_in_ones() -> None:
    tasks = tuple(f"t{number:03}" for number in range(100))
    text = banner_text(_facts(loglevel=logging.DEBUG, tasks=(*tasks, "celery.ping")))
    assert "celery.ping" in text
    assert all(task in text for task in tasks)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_few_tasks_are_listed_whole(extra: int) -> None:
    tasks = tuple(f"t{number:03}" for number in range(TASKS_SHOWN + extra))
    text = banner_text(_facts(loglevel=logging.INFO, tasks=tasks))
    assert all(task in text for task in tasks)
    assert "more" not in text


def test_many_tasks_are_cut() -> None:
    tasks = tuple(f"t{number:03}" for number in range(TASKS_SHOWN + 2))
    text = banner_text(_facts(loglevel=logging.INFO, tasks=tasks))
    assert text.endswith("... and 2 more (-l debug shows all)")
    assert tasks[-1] not in text


def test_no_tasks_at_all() -> None:
    assert banner_text(_facts(loglevel=logging.INFO, tasks=())).endswith(" tasks      none")


def test_pickle_as_root_is_warned_of() -> None:
    assert "WARNING" not in banner_text(_facts())
    text = banner_text(_facts(risky_pickle=True))
    assert "runs as root and accepts pickle" in text
    assert "accept_content" in text


def test_settings_without_effect_are_told() -> None:
    text = banner_text(_facts(inactive=("task_routes (takes effect once ...)",)))
    assert text.endswith("\n\n Set, without effect in this version:\n   task_routes (takes effect once ...)")


def test_colours_do_not_change_the_text() -> None:
    plain = banner_text(_facts(loglevel=logging.INFO, risky_pickle=True))
    marked = banner_text(
        _facts(loglevel=logging.INFO, risky_pickle=True), style=lambda text, colour: f"<{colour}>{text}</>"
    )
    assert "<cyan>app        </>" in marked
    for colour in ("green", "bright_black", "cyan", "red"):
        assert f"<{colour}>" in marked
        marked = marked.replace(f"<{colour}>", "")
    assert marked.replace("</>", "") == plain


def test_no_line_is_wider_than_a_terminal() -> None:
    text = banner_text(_facts(loglevel=logging.INFO, risky_pickle=True))
    assert max(map(len, text.splitlines())) <= 100
