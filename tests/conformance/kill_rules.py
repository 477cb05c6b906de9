"""What must hold for a SQLite file after a process was killed at any statement; for `kill_at_statement`."""

from __future__ import annotations

import sqlite3
from typing import Any

#: The messages of every step.
NAMES = [f"m{n}" for n in range(8)]


def misplaced(connection: sqlite3.Connection) -> list[str]:
    """Every message is in exactly one of ready, future and held; nothing there has no message or no lease."""
    rows = connection.execute(
        "SELECT m, COUNT(*) FROM (SELECT message AS m FROM ready UNION ALL SELECT message FROM future "
        "UNION ALL SELECT message FROM held) GROUP BY m"
    ).fetchall()
    stored = {row[0] for row in connection.execute("SELECT id FROM message")}
    problems = [f"message {m} is in {count} places" for m, count in rows if count != 1]
    problems += [f"message {m} is in no place" for m in stored.difference(m for m, _ in rows)]
    problems += [f"message {m} has no content" for m, _ in rows if m not in stored]
    orphans = connection.execute("SELECT COUNT(*) FROM held WHERE lease NOT IN (SELECT id FROM lease)").fetchone()[0]
    return problems + [f"{orphans} messages held by nobody"] * bool(orphans)


def places(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Names by place."""
    name = "json_extract(CAST(head AS TEXT), '$[0].id')"
    found: dict[str, list[str]] = {}
    for place, sql in {
        "ready": f"SELECT {name} FROM ready JOIN message ON id = message ORDER BY 1",
        "future": f"SELECT {name} FROM future JOIN message ON id = message ORDER BY 1",
        "held": f"SELECT {name} FROM held JOIN message ON id = message ORDER BY 1",
        "dead": f"SELECT {name} FROM dead ORDER BY 1",
    }.items():
        found[place] = [row[0] for row in connection.execute(sql)]
    return found


def whole_or_not(step: str, found: dict[str, list[str]], results: set[str]) -> list[str]:
    """The step's own rule."""
    everywhere = sorted(name for names in found.values() for name in names)
    before = everywhere == NAMES and not results
    followed = sorted([f"after {name}" for name in NAMES])
    settled = sorted(["m2", "m4", *followed])
    done = {
        "create": len(everywhere) in {0, 6, 8} and everywhere == NAMES[: len(everywhere)],
        "publish": len(everywhere) in {0, 6, 8} and everywhere == NAMES[: len(everywhere)],
        "reserve": before and len(found["held"]) in {0, 5},
        "settle": (before and len(found["held"]) == 8)
        or (found == {"ready": settled, "future": ["m3"], "held": ["m6"], "dead": ["m5"]} and results == set(NAMES)),
        "join": everywhere in (NAMES, sorted(["body", *NAMES])) and not results,
        "release": before and len(found["held"]) in {0, 8},
        "close": before and len(found["held"]) in {0, 8},
        "recover": before and len(found["held"]) == 8,
        "revive": before and len(found["dead"]) in {0, 8},
        "purge": everywhere in (NAMES, NAMES[6:], []),
    }
    holds = done.get(step, before)
    return [] if holds else [f"half done: {found}, results {sorted(results)}"]


def half_joined(connection: sqlite3.Connection, step: str, found: dict[str, list[str]], steps: list[str]) -> list[str]:
    """What chords have got, and results of steps that will never run, are written with all else and counted right."""
    chords = connection.execute("SELECT group_id, size, grown, shares, ended FROM chord ORDER BY group_id").fetchall()
    shares = [row[0] for row in connection.execute("SELECT task_id FROM chord_share ORDER BY task_id")]
    begun = [(name, 2, 0, 0, 0) for name in NAMES]
    expected: tuple[list[Any], list[str], list[str]] = ([], [], [])
    if step == "settle" and found["dead"] == ["m5"]:
        expected = ([("g", None, 8, 8, 0), *begun], NAMES, NAMES)
    elif step == "join":
        sent = "body" in found["ready"]
        expected = ([("g", None, 0, 0, 1)], [], []) if sent else ([("g", 2, 0, 2, 0)], NAMES[:2], [])
    got = (chords, shares, steps)
    return [] if got == expected else [f"half joined: {got}, not {expected}"]
