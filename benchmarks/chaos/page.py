"""`python -m benchmarks.chaos.page FILE...`: outages of saved runs as a table in Markdown, one column for each file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

_BEFALLS: Final = {
    "orderly restart": "server stopped and started again",
    "restart": "server killed and restarted after 1 s",
    "absence": "server killed and restarted after {absence:g} s",
    "pause": "server stopped (SIGSTOP) for {paused:g} s",
    "hang up": "all connections closed",
    "forget scripts": "all scripts forgotten (`SCRIPT FLUSH`)",
}
_TIMES: Final = {1: "once", 2: "twice"}


def _rows(content: dict[str, Any]) -> dict[str, str]:
    """What a run came to, by the names of the rows."""
    plan, verdict = content["settings"]["outages"], content["results"]["outages"]
    rows = {
        "tasks": f"{verdict['tasks']:,}",
        "killed": f"{verdict['kills'].get('child', 0)} processes, {verdict['kills'].get('worker', 0)} workers",
    }
    for what, text in _BEFALLS.items():
        if count := verdict["outages"].get(what):
            back = verdict["back"].get(what, 0.0)
            times = _TIMES.get(count, f"{count} times")
            rows[text.format(**plan)] = f"{times}; back after {back:.1f} s at most"
    explained = verdict["second_runs"] - verdict["lost_connections"] - verdict["unexplained"]
    return rows | {
        "lost": _count(verdict["missing"]),
        "second runs after a kill": _count(explained),
        "second runs by another worker, after a lost connection": _count(verdict["lost_connections"]),
        "second runs without either": _count(verdict["unexplained"]),
        "results missing": _count(verdict["unstored"]),
        "dead letters": _count(verdict["dead_letters"]),
        "longest time from the kill of a worker to the new run": _seconds(verdict["of_workers"]["slowest"]),
        "left in the broker without an owner": ", ".join(verdict["left_in_broker"]) or "nothing",
    }


def _count(number: int) -> str:
    return f"{number:,}" if number else "none"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def main() -> None:
    """Print the table."""
    columns = [_rows(json.loads(Path(name).read_text())) for name in sys.argv[1:]]
    titles = [Path(name).name.split("-20")[0].removeprefix("chaos-") for name in sys.argv[1:]]
    print(f"| | {' | '.join(titles)} |")
    print(f"| --- |{' --- |' * len(titles)}")
    for row in dict.fromkeys(name for column in columns for name in column):
        print(f"| {row} | {' | '.join(column.get(row, '-') for column in columns)} |")


if __name__ == "__main__":
    main()
