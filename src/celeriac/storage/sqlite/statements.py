"""Loads the .sql files: each holds named statements, `-- name: ...` before each of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

_MARK = "-- name:"


@cache
def load_statements(name: str) -> Mapping[str, str]:
    """The statements of `sql/<name>.sql` by their names."""
    from importlib.resources import files  # noqa: PLC0415 - start-up time: 6 ms that a producer may never need

    text = files("celeriac.storage.sqlite").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    statements: dict[str, str] = {}
    for part in text.split(_MARK)[1:]:
        title, _, body = part.partition("\n")
        statements[title.strip()] = _without_comments(body)
    return statements


def _without_comments(sql: str) -> str:
    """The statement as it is sent: comments are for readers, and SQLite would parse them each time."""
    lines = (line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().rstrip(";")


@cache
def with_rows(sql: str, count: int) -> str:
    """`sql` with its group of marks `(?, ?, ...)` repeated for `count` rows."""
    start = sql.index("(?")
    end = sql.index(")", start) + 1
    return sql[:start] + ", ".join([sql[start:end]] * count) + sql[end:]
