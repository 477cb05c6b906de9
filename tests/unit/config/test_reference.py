"""The reference page is made from the table, and is up to date."""

from __future__ import annotations

import doctest
import sys
import types
from pathlib import Path

import pytest

from celeriac.config import censor, load, names, notices, reference, setting_table, settings, table

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run: python -m celeriac.config.reference docs/reference/settings.md"
    )


def test_the_page_has_every_setting() -> None:
    lines = set(reference.page().splitlines())
    for row in setting_table():
        assert f"### {row.name}" in lines


def test_main_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "settings.md"
    monkeypatch.setattr(sys, "argv", ["reference", str(target)])
    reference.main()
    assert target.read_text(encoding="utf-8") == reference.page()
    monkeypatch.setattr(sys, "argv", ["reference"])
    reference.main()
    assert capsys.readouterr().out == reference.page()


@pytest.mark.parametrize("module", [censor, load, names, notices, settings, table])
def test_examples_in_docstrings(module: types.ModuleType) -> None:
    outcome = doctest.testmod(module, extraglobs={"Settings": settings.Settings})
    assert outcome.attempted > 0
    assert outcome.failed == 0
