"""Tables, plain ones and those for terminals."""

from __future__ import annotations

import sys

import pytest

from celeriac.cli import tables
from celeriac.cli.context import CliContext


def test_a_fancy_table_reads_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_table(("Tag", "Reason"), [("1", "[bold]not bold[/bold]")], fancy=True)
    assert "[bold]not bold[/bold]" in capsys.readouterr().out


def test_a_plain_table_keeps_a_row_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_table(("Tag", "Reason"), [("1", "two\nlines\tand a tab")], fancy=False)
    assert capsys.readouterr().out == "tag\treason\n1\ttwo lines and a tab\n"


def test_tables_are_fancy_on_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert CliContext().fancy
    assert not CliContext(no_color=True).fancy
