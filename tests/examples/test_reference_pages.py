"""The reference pages written by hand name all there is."""

import re
from pathlib import Path

import pytest

from celeriac.call_options import CALL_OPTION_NAMES
from celeriac.cli import main as command_line
from celeriac.task_options import TASK_OPTION_NAMES

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def _section(page: str, heading: str) -> str:
    text = (REFERENCE / page).read_text(encoding="utf-8")
    return re.split(r"^## ", text.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("name", sorted(TASK_OPTION_NAMES))
def test_every_task_option_is_there(name: str) -> None:
    assert f"`{name}`" in _section("task-options.md", "Task options")


@pytest.mark.parametrize("name", sorted(CALL_OPTION_NAMES))
def test_every_calling_option_is_there(name: str) -> None:
    assert f"`{name}`" in _section("task-options.md", "Calling options")


@pytest.mark.parametrize("name", sorted(command_line._COMMANDS))
def test_every_command_is_there(name: str) -> None:
    assert _section("command-line.md", name)


@pytest.mark.parametrize("name", sorted(command_line._NOT_YET))
def test_every_command_that_comes_later_is_there(name: str) -> None:
    assert f"`{name}`" in _section("command-line.md", "Commands of Celery's that are not there yet")
