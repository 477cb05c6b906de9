"""Tables on standard output: made to fit a terminal, else columns that `awk` and `cut` can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, fancy: bool) -> None:
    """Print `rows` under the names of `columns`.

    Args:
        columns: their names.
        rows: as many texts each.
        fancy: use colours, and break long texts to fit the terminal.
    """
    if fancy:
        _show_fancy(columns, rows)
        return
    click.echo("\t".join(column.lower() for column in columns))
    for row in rows:
        click.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))


def _show_fancy(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415 - start-up time: only terminals need it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)  # room for reasons, not for lines
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: what others wrote must not be read as markup
    Console().print(table)
