"""`python -m benchmarks.chaos`: kill workers, children and the server; the verdicts as tables."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.chaos import compare, kills, outages, poison
from benchmarks.chaos.verdict import Verdict

_SCENARIOS = ("kills", "outages", "poison")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.chaos", description=__doc__)
    parser.add_argument("--on", choices=("sqlite", "redis"), default="sqlite", help="the broker")
    parser.add_argument("--only", choices=_SCENARIOS, action="append", help="one scenario (default: all)")
    parser.add_argument("--compare", action="store_true", help="instead: kills on Redis, with Celery and dramatiq")
    parser.add_argument("--save", action="store_true", help="with --compare: write benchmarks/results/chaos-...json")
    parser.add_argument("--tasks", type=int, default=1500, help="of the random kills")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between kills")
    parser.add_argument("--watch", type=float, default=60.0, help="with --compare: seconds after the last kill")
    parser.add_argument("--seed", type=int, default=None, help="of the choice of victims (default: by chance)")
    parser.add_argument("--folder", type=Path, help="keep database, journal and logs there")
    return parser.parse_args()


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(figure)}" for name, figure in value.items()) or "-"
    return str(value)


def _show(console: Console, title: str, verdict: Verdict | poison.Verdict) -> None:
    table = Table("", "", title=title, show_header=False, title_justify="left")
    for name, value in dataclasses.asdict(verdict).items():
        table.add_row(name.replace("_", " "), _text(value))
    console.print(table)


def _poison_faults(verdict: poison.Verdict) -> list[str]:
    missing = [f"{verdict.missing} good tasks are missing"] if verdict.missing else []
    return missing + ([] if verdict.dead_letters == 1 else [f"{verdict.dead_letters} dead letters instead of one"])


def _run(console: Console, arguments: argparse.Namespace, seed: int, folder: Path) -> list[str]:
    """Run what was asked for; what was wrong."""
    on_redis = arguments.on == "redis"
    wanted = arguments.only or [name for name in _SCENARIOS if on_redis or name != "outages"]
    for name in wanted:
        (folder / name).mkdir(parents=True)
    faults: list[str] = []
    if "kills" in wanted:
        plan = kills.Plan(tasks=arguments.tasks, kills=arguments.kills, interval=arguments.interval, seed=seed)
        killed = (kills.run_on_redis if on_redis else kills.run_on_sqlite)(folder / "kills", plan)
        _show(console, f"Random kills on {arguments.on}, seed {seed}", killed)
        faults += killed.faults(plan.lease_seconds)
    if "outages" in wanted:
        trouble = outages.Plan(interval=arguments.interval, seed=seed)
        disturbed = outages.run(folder / "outages", trouble)
        _show(console, f"Kills and outages of Redis, seed {seed}", disturbed)
        faults += disturbed.faults(trouble.lease_seconds)
    if "poison" in wanted:
        poisoned = (poison.run_on_redis if on_redis else poison.run_on_sqlite)(folder / "poison")
        _show(console, f"A task that kills its process, on {arguments.on}, 3 deliveries allowed", poisoned)
        faults += _poison_faults(poisoned)
    return faults


def main() -> int:
    """Run the scenarios; 0 when Celeriac has kept all that it promises."""
    arguments = _arguments()
    seed = random.randrange(10_000) if arguments.seed is None else arguments.seed
    console = Console()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder: Path = arguments.folder or Path(temporary)
        if arguments.compare:
            plan = kills.Plan(arguments.tasks, kills=arguments.kills, interval=arguments.interval, seed=seed)
            plan = dataclasses.replace(plan, watch=arguments.watch)
            faults = compare.run(folder, plan, save=arguments.save)
        else:
            faults = _run(console, arguments, seed, folder)
    for fault in faults:
        console.print(fault, style="red", markup=False)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
