"""`call` and `purge` where settings declare queues and exchanges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from celeriac import Celeriac

Run = Callable[..., Result]

_QUEUES = (
    "from celeriac import Exchange, Queue\n"
    "feeds = Exchange('feeds', type='topic')\n"
    "task_queues = [Queue('all', feeds, 'feed.#'), Queue('eu', feeds, 'feed.*.eu', alias='europe')]\n"
    "task_create_missing_queues = False\n"
)


@pytest.fixture
def app(project: Path) -> Iterator[Celeriac]:
    """An app on the same database file as the project's."""
    with Celeriac("peer", broker=f"sqlite:///{project}/shop.sqlite3", set_as_current=False) as made:
        yield made


def _depth(app: Celeriac, queue: str) -> int:
    return asyncio.run(app.broker.depth(queue))


def test_call_over_an_exchange(run: Run, app: Celeriac, project: Path) -> None:
    (project / "conf.py").write_text(_QUEUES)
    words = ("-A", "shop", "--config", "conf", "call", "shop.add", "-a", "[1, 2]", "--exchange", "feeds")
    result = run(*words, "--routing-key", "feed.sport.eu")
    assert result.exit_code == 0, result.output
    assert [_depth(app, "all"), _depth(app, "eu")] == [1, 1]
    result = run(*words, "--routing-key", "other")
    assert result.exit_code == 2
    assert "no queue of task_queues takes what is sent to exchange 'feeds'" in result.stderr


def test_purge_of_queues_with_declarations(run: Run, app: Celeriac, project: Path) -> None:
    (project / "conf.py").write_text(_QUEUES)
    app.send_task("shop.add", (1, 2), queue="eu")
    assert "from 1 queue." in run("-A", "shop", "--config", "conf", "purge", "-f", "-X", "europe").output
    assert run("-A", "shop", "--config", "conf", "purge", "-f").output == "Purged 1 message from 2 queues.\n"
    result = run("-A", "shop", "--config", "conf", "purge", "-f", "-Q", "eur")
    assert result.exit_code == 2
    assert "queue 'eur' is not in task_queues" in result.stderr
