"""`python -m benchmarks.run`: every scenario for every peer, in turns; a table and a JSON file."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from scripts.servers import REDIS, find_program, install_servers

from benchmarks import environments, machine, report
from benchmarks.harness import BenchError
from benchmarks.peers import DEFAULT, PEERS, Peer
from benchmarks.scenarios import SCENARIOS, Scenario, Subject


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--only", default=",".join(DEFAULT), help=f"peers, the first compared: {', '.join(PEERS)}")
    parser.add_argument("--scenario", default=",".join(SCENARIOS), help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the counts, once")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each scenario (default: 3)")
    parser.add_argument("--json", type=Path, help="where to write (default: benchmarks/results/, unless --quick)")
    return parser.parse_args(argv)


def _chosen(kind: str, text: str, known: dict[str, Any]) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"unknown {kind}: {', '.join(unknown)}; known: {', '.join(known)}")
    return names


def _subjects(peers: list[Peer], scale: float, console: Console) -> list[Subject]:
    """The peers that can run here, installed."""
    subjects = []
    for peer in peers:
        if peer.server == "redis" and find_program(REDIS) is None:
            console.print(f"{peer.name} is left out: no redis-server here")
            continue
        subjects.append(Subject(peer, environments.ensure(peer.environment, peer.requirements), scale))
    return subjects


def _measure(scenario: Scenario, subject: Subject, cell: report.Cell, console: Console) -> None:
    began = time.monotonic()
    try:
        figures = scenario.run(subject)
    except BenchError as error:
        cell.errors.append(str(error))
        console.print(f"{scenario.name}: {subject.peer.name}: {error}", style="red", markup=False)
        return
    cell.add(figures)
    line = ", ".join(f"{key} {figure:,.4g}" for key, figure in figures.items())
    console.print(
        f"{scenario.name}: {subject.peer.name}: {line}  ({time.monotonic() - began:.0f} s)",
        highlight=False,
        soft_wrap=True,
    )


def _run_all(scenarios: list[Scenario], subjects: list[Subject], repeat: int, console: Console) -> report.Cells:
    """Peers take turns within a scenario, so that what else the machine does hits all of them."""
    cells: report.Cells = {}
    for scenario in scenarios:
        row = cells.setdefault(scenario.name, {})
        able = [subject for subject in subjects if scenario.needs <= subject.peer.features]
        for _ in range(repeat):
            for subject in able:
                cell = row.setdefault(subject.peer.name, report.Cell())
                if len(cell.errors) < 2:  # what failed twice will not do better
                    _measure(scenario, subject, cell, console)
    return cells


def _about(subject: Subject) -> dict[str, Any]:
    versions = subject.environment.versions()
    return {
        "setup": subject.peer.setup,
        "version": versions.get(subject.peer.distribution, "unknown"),
        "counts_times": subject.peer.speed,
        "worker": " ".join(subject.peer.worker),
        "installed": versions,
    }


def main(argv: list[str] | None = None) -> None:
    """Run what the arguments name."""
    arguments = _arguments(argv)
    peers = [PEERS[name] for name in _chosen("peer", arguments.only, PEERS)]
    scenarios = [SCENARIOS[name] for name in _chosen("scenario", arguments.scenario, SCENARIOS)]
    console = Console(stderr=True)
    if any(peer.server == "redis" for peer in peers):
        install_servers()
    about = machine.describe()
    subjects = _subjects(peers, 0.1 if arguments.quick else 1.0, console)
    repeat = 1 if arguments.quick else arguments.repeat
    began = datetime.now(UTC)
    cells = _run_all(scenarios, subjects, repeat, console)
    out = Console(width=None if sys.stdout.isatty() else 160)
    report.show(out, scenarios, [subject.peer for subject in subjects], cells)
    default = environments.ROOT / "benchmarks" / "results" / f"{began:%Y-%m-%d}-{machine.kind()}.json"
    path = arguments.json or (None if arguments.quick else default)
    if path is not None:
        settings = {"date": f"{began:%Y-%m-%dT%H:%MZ}", "repeat": repeat, "quick": arguments.quick}
        report.write(path, about, settings, {each.peer.name: _about(each) for each in subjects}, cells)
        out.print(f"written to {path.name}")


if __name__ == "__main__":
    main()
