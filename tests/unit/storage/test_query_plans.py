"""No statement of the hot path may sort or scan: its cost would grow with the queue."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.storage.sqlite.schema import prepare
from celeriac.storage.sqlite.statements import load_statements, with_rows

#: Statements that walk a whole table, which is small or whose walk is the point.
WALKS = {
    ("lease", "all_leases"): "one row for each worker",
    ("reserve", "delete_stale_bells"): "one row for each idle worker and queue",
    ("result", "delete_stale_bells"): "one row for each waiter",
    ("queues", "purge_dead"): "all of them",
    ("queues", "dead_letters"): "newest first, up to a limit",
    ("result", "anyone_waiting"): "stops at the first row",
    ("chord", "open"): "newest first, up to a limit",
    ("reserve", "peek_at_all"): "stops at the first row",
}
#: Statements that sort a handful of rows.
SORTS = {("publish", "waiting_for_work"), ("lease", "count_held")}
HOT = [
    (name, statement)
    for name in ("publish", "reserve", "settle", "lease", "queues", "result", "chord", "group")
    for statement in load_statements(name)
]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(tmp_path / "plans.db", isolation_level=None)
    prepare(made, "plans.db")
    yield made
    made.close()


@pytest.mark.parametrize(("name", "statement"), HOT)
def test_plan(connection: sqlite3.Connection, name: str, statement: str) -> None:
    sql = load_statements(name)[statement]
    count = max(sql.count("?"), 1) if "?1" not in sql else max(n for n in range(1, 9) if f"?{n}" in sql)
    values = ["{}"] * (count if "?" in sql else 0)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    scans = [step for step in plan if step.startswith("SCAN ") and "VIRTUAL TABLE" not in step]
    if (name, statement) not in WALKS:
        assert not [step for step in scans if "CONSTANT ROW" not in step], plan
    if (name, statement) not in SORTS:
        assert not [step for step in plan if "TEMP B-TREE" in step], plan


def test_rows_are_repeated_in_their_place() -> None:
    sql = "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT (a) DO UPDATE SET b = 1 WHERE b < ?"
    assert with_rows(sql, 2).count("(?, ?), (?, ?) ON CONFLICT") == 1
    assert with_rows(sql, 1) == sql
