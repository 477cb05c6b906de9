"""`python -m benchmarks.chaos`: both scenarios, their verdicts as tables."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.chaos import kills, poison


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.chaos", description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between kills")
    parser.add_argument("--seed", type=int, default=None, help="of the choice of victims (default: by chance)")
    parser.add_argument("--folder", type=Path, help="keep database, journal and logs there")
    return parser.parse_args()


def _show(console: Console, title: str, verdict: kills.Verdict | poison.Verdict) -> None:
    table = Table("", "", title=title, show_header=False, title_justify="left")
    for name, value in dataclasses.asdict(verdict).items():
        text = ", ".join(f"{count} {what}" for what, count in value.items()) if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), f"{text:.1f}" if isinstance(text, float) else str(text))
    console.print(table)


def main() -> int:
    """Run both; 0 when no task was lost, none ran more often than the kills explain, and the poison was put away."""
    arguments = _arguments()
    seed = random.randrange(10_000) if arguments.seed is None else arguments.seed
    console = Console()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder: Path = arguments.folder or Path(temporary)
        for name in ("kills", "poison"):
            (folder / name).mkdir(parents=True)
        plan = kills.Plan(tasks=arguments.tasks, kills=arguments.kills, interval=arguments.interval, seed=seed)
        killed = kills.run(folder / "kills", plan)
        _show(console, f"Random kills, seed {seed}", killed)
        poisoned = poison.run(folder / "poison")
        _show(console, "A task that kills its process, 3 deliveries allowed", poisoned)
    lost = killed.missing or killed.dead_letters or killed.unexplained
    spoilt = poisoned.missing or poisoned.dead_letters != 1
    return 1 if lost or spoilt else 0


if __name__ == "__main__":
    sys.exit(main())
