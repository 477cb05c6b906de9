"""A project in a folder of its own, and the command line run in it."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from celeriac.cli.main import cli

Run = Callable[..., Result]

TASKS = """
from celeriac import Celeriac

app = Celeriac("shop", broker="sqlite:///shop.sqlite3")

@app.task
def add(x, y):
    return x + y

@app.task(queue="slow")
async def fetch(url):
    return url
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the module `shop` in it. What is imported, logged and set is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    for name in ("NO_COLOR", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "CELERIAC_APP", "CELERY_APP"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "shop.py").write_text(TASKS)
    loggers = [logging.getLogger(name) for name in ("celeriac", "celeriac.task")]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    importlib.invalidate_caches()
    yield tmp_path
    for name in ("shop", "extra", "conf", "broken"):
        sys.modules.pop(name, None)
    for logger, handlers, level, propagate in before:
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def run(project: Path) -> Run:
    """`run("-A", "shop", "purge")`: runs the command line in this process, as if typed in the project's folder."""
    del project

    def invoke(*words: str, typed: str | None = None, env: dict[str, str | None] | None = None) -> Result:
        sys.modules.pop("shop", None)
        return CliRunner().invoke(cli, list(words), prog_name="celeriac", input=typed, env=env)

    return invoke
