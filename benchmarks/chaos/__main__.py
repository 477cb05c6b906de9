"""`python -m benchmarks.chaos`: kill workers, children and the server; the verdicts as tables."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.chaos import compare, kills, outages, poison, results
from benchmarks.chaos.systems import CELERIAC, System
from benchmarks.chaos.verdict import Verdict
from benchmarks.chaos.workflows import run as workflows
from benchmarks.chaos.workflows.verdict import Verdict as WorkflowsVerdict

_TITLES: Final = {
    "kills": "Random kills",
    "outages": "Kills and outages of the server",
    "poison": "A task that kills its process, 3 deliveries allowed",
    "workflows": "Workflows, random kills, and outages of the server if there is one",
}
_SCENARIOS: Final = tuple(_TITLES)
_AnyVerdict = Verdict | poison.Verdict | WorkflowsVerdict


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.chaos", description=__doc__)
    parser.add_argument("--on", choices=("sqlite", "redis", "rabbitmq"), default="sqlite", help="the broker")
    parser.add_argument("--only", choices=_SCENARIOS, action="append", help="one scenario (default: all)")
    parser.add_argument(
        "--compare", action="store_true", help="instead: kills on Redis or RabbitMQ, with Celery and dramatiq"
    )
    parser.add_argument("--queue-type", choices=("classic", "quorum"), default="quorum", help="of RabbitMQ's queues")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/chaos-...json")
    parser.add_argument("--tasks", type=int, default=1500, help="of the random kills")
    parser.add_argument("--workflows", type=int, default=2000, help="of that scenario")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between kills")
    parser.add_argument("--watch", type=float, default=60.0, help="with --compare: seconds after the last kill")
    parser.add_argument("--seed", type=int, default=None, help="of the choice of victims (default: by chance)")
    parser.add_argument("--folder", type=Path, help="keep database, journal and logs there")
    arguments = parser.parse_args()
    if arguments.on == "sqlite" and "outages" in (arguments.only or ()):
        parser.error("outages are those of a server; add --on redis or --on rabbitmq")
    return arguments


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(figure)}" for name, figure in value.items()) or "-"
    return str(value)


def _show(console: Console, title: str, verdict: _AnyVerdict) -> None:
    table = Table("", "", title=title, show_header=False, title_justify="left")
    for name, value in _figures(verdict).items():
        table.add_row(name.replace("_", " "), _text(value))
    console.print(table)


def _figures(verdict: _AnyVerdict) -> dict[str, Any]:
    """Of workflows, those of their tasks too; `seconds` is the whole run."""
    figures = dataclasses.asdict(verdict)
    return {**figures.pop("tasks"), **figures} if isinstance(verdict, WorkflowsVerdict) else figures


def _run(console: Console, arguments: argparse.Namespace, seed: int, folder: Path) -> list[str]:
    """Run what was asked for; what was wrong."""
    about = results.describe(arguments.on) if arguments.save else {}
    wanted = arguments.only or [name for name in _SCENARIOS if arguments.on != "sqlite" or name != "outages"]
    verdicts: dict[str, _AnyVerdict] = {}
    settings: dict[str, Any] = {}
    faults: list[str] = []
    for name in wanted:
        place = folder / name
        place.mkdir(parents=True)
        if name == "poison":
            poisoned = _run_poison(arguments, place)
            faults += poisoned.faults()
            verdicts[name] = poisoned
        elif name == "workflows":
            plan_of_workflows, flows = _run_workflows(arguments, seed, place)
            settings[name] = dataclasses.asdict(plan_of_workflows)
            faults += flows.faults(plan_of_workflows.lease_seconds)
            verdicts[name] = flows
        else:
            plan, verdict = (
                _run_kills(arguments, seed, place) if name == "kills" else _run_outages(arguments, seed, place)
            )
            settings[name] = dataclasses.asdict(plan)
            faults += verdict.faults(plan.lease_seconds)
            verdicts[name] = verdict
        _show(console, f"{_TITLES[name]}, on {_name(arguments)}, seed {seed}", verdicts[name])
    if arguments.save:
        figures = {name: dataclasses.asdict(verdict) for name, verdict in verdicts.items()}
        name = "-".join((*(arguments.only or ()), _name(arguments)))
        console.print(str(results.write(name, about, settings=settings, results=figures)))
    return faults


def _name(arguments: argparse.Namespace) -> str:
    """Of what is tried, for titles and files."""
    return f"rabbitmq-{arguments.queue_type}" if arguments.on == "rabbitmq" else str(arguments.on)


def _system(arguments: argparse.Namespace) -> System:
    return dataclasses.replace(CELERIAC, queue_type=arguments.queue_type)


def _run_poison(arguments: argparse.Namespace, folder: Path) -> poison.Verdict:
    if arguments.on == "rabbitmq":
        return poison.run_on_rabbitmq(folder, system=_system(arguments))
    return (poison.run_on_redis if arguments.on == "redis" else poison.run_on_sqlite)(folder)


def _run_kills(arguments: argparse.Namespace, seed: int, folder: Path) -> tuple[kills.Plan, Verdict]:
    plan = _plan(arguments, seed)
    if arguments.on == "rabbitmq":
        return plan, kills.run_on_rabbitmq(folder, plan, system=_system(arguments))
    return plan, (kills.run_on_redis if arguments.on == "redis" else kills.run_on_sqlite)(folder, plan)


def _run_outages(arguments: argparse.Namespace, seed: int, folder: Path) -> tuple[outages.Plan, Verdict]:
    plan = outages.Plan(interval=arguments.interval, seed=seed)
    if arguments.on == "redis":
        return plan, outages.run_on_redis(folder, plan)
    plan = dataclasses.replace(plan, outages=outages.ON_RABBITMQ, kills=8)  # with those in absences and pauses: ten
    return plan, outages.run_on_rabbitmq(folder, plan, system=_system(arguments))


def _run_workflows(arguments: argparse.Namespace, seed: int, folder: Path) -> tuple[workflows.Plan, WorkflowsVerdict]:
    plan = workflows.Plan(arguments.workflows, kills=arguments.kills, seed=seed)
    if arguments.on == "redis":
        plan = dataclasses.replace(plan, outages=workflows.ON_REDIS)
        return plan, workflows.run_on_redis(folder, plan)
    if arguments.on == "rabbitmq":
        plan = dataclasses.replace(plan, outages=workflows.ON_RABBITMQ)
        return plan, workflows.run_on_rabbitmq(folder, plan, _system(arguments))
    return plan, workflows.run_on_sqlite(folder, plan)


def _plan(arguments: argparse.Namespace, seed: int) -> kills.Plan:
    return kills.Plan(arguments.tasks, kills=arguments.kills, interval=arguments.interval, seed=seed)


def main() -> int:
    """Run the scenarios; 0 when Celeriac has kept all that it promises."""
    arguments = _arguments()
    seed = random.randrange(10_000) if arguments.seed is None else arguments.seed
    console = Console()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder: Path = arguments.folder or Path(temporary)
        if arguments.compare:
            plan = dataclasses.replace(_plan(arguments, seed), watch=arguments.watch)
            on: compare.On = "rabbitmq" if arguments.on == "rabbitmq" else "redis"
            faults = compare.run(folder, plan, on=on, save=arguments.save)
        else:
            faults = _run(console, arguments, seed, folder)
    for fault in faults:
        console.print(fault, style="red", markup=False)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
