"""The same kills on Celeriac, Celery and dramatiq, on one server: a table in Markdown, and all figures as JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, Literal

from benchmarks.chaos import kills, results
from benchmarks.chaos.systems import COMPARED

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.chaos.systems import System
    from benchmarks.chaos.verdict import Verdict, Victims

On = Literal["redis", "rabbitmq"]

_COLUMNS: Final = (
    "",
    "tasks",
    "lost",
    "not within {watch:.0f} s",
    "second runs",
    "unexplained",
    "again after the kill of a process",
    "again after the kill of a worker",
    "runs of a healthy task",
)
#: No kills, and one task that takes longer than a short visibility timeout.
_HEALTHY: Final = kills.Plan(tasks=1, backlog=1, task_seconds=25.0, kills=0, watch=10.0)


def run(folder: Path, plan: kills.Plan, *, on: On, save: bool) -> list[str]:
    """Try one system after the other, print the table; what Celeriac has not kept.

    Raises:
        RuntimeError: there is no server, or a peer can not be installed.
    """
    about = results.describe(on)
    verdicts: dict[str, dict[str, Verdict]] = {}
    print(f"| {' | '.join(_COLUMNS).format(watch=plan.watch)} |")
    print(f"| {' | '.join(['---'] + ['--:'] * (len(_COLUMNS) - 1))} |")
    for system in COMPARED[on]:
        verdicts[system.name] = {
            "kills": _try(folder / system.name / "kills", plan, on, system),
            "healthy": _try(folder / system.name / "healthy", _HEALTHY, on, system),
        }
        print(_row(system, *verdicts[system.name].values()), flush=True)
    if save:
        print(f"\n{_save(about, plan, on, verdicts)}")
    return [
        fault
        for system in COMPARED[on]
        if system.distribution == "celeriac"
        for what, verdict in verdicts[system.name].items()
        for fault in verdict.faults((plan if what == "kills" else _HEALTHY).lease_seconds)
    ]


def _try(folder: Path, plan: kills.Plan, on: On, system: System) -> Verdict:
    folder.mkdir(parents=True)
    return (kills.run_on_rabbitmq if on == "rabbitmq" else kills.run_on_redis)(folder, plan, system)


def _row(system: System, killed: Verdict, healthy: Verdict) -> str:
    cells = [
        f"{system.distribution} {system.version()}: {system.setup}",
        f"{killed.tasks:,}",
        str(killed.missing - killed.kept),
        str(killed.kept),
        str(killed.second_runs),
        str(killed.unexplained),
        _again(killed.of_children),
        _again(killed.of_workers),
        str(1 + healthy.second_runs),
    ]
    return f"| {' | '.join(cells)} |"


def _again(victims: Victims) -> str:
    counts = f"{victims.again} of {victims.hit}"
    return counts if victims.slowest is None else f"{counts}, {victims.typical:.1f} s ({victims.slowest:.1f} s)"


def _save(about: dict[str, Any], plan: kills.Plan, on: On, verdicts: dict[str, dict[str, Verdict]]) -> Path:
    systems = {
        system.name: {
            "setup": system.setup,
            "version": system.version(),
            "worker": " ".join(system.worker),
            "variables": system.variables,
        }
        for system in COMPARED[on]
    }
    figures = {
        name: {what: dataclasses.asdict(verdict) for what, verdict in pair.items()} for name, pair in verdicts.items()
    }
    settings = {"kills": dataclasses.asdict(plan), "healthy": dataclasses.asdict(_HEALTHY)}
    return results.write(
        "peers" if on == "redis" else f"peers-{on}", about, settings=settings, systems=systems, results=figures
    )
