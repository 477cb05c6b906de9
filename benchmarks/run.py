"""`python -m benchmarks.run`: every scenario for every peer, in turns; a table and a JSON file."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from scripts.servers import install_servers

from benchmarks import environments, machine, peers, report, scenarios, servers, targets
from benchmarks.harness import BenchError
from benchmarks.peers import PEERS, Peer
from benchmarks.scenarios import SCENARIOS, Scenario, Subject

if TYPE_CHECKING:
    from benchmarks.servers import Servers


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--broker", choices=sorted(peers.DEFAULT), default="sqlite", help="which peers and scenarios")
    parser.add_argument("--only", help=f"peers, the first compared: {', '.join(PEERS)}")
    parser.add_argument("--scenario", help=f"of {', '.join(SCENARIOS)}")
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


def _subjects(chosen: list[Peer], scale: float, running: Servers, console: Console) -> list[Subject]:
    """The peers that can run here, installed."""
    subjects = []
    for peer in chosen:
        absent = [kind for kind in peer.servers if kind not in running]
        if absent:
            console.print(f"{peer.name} is left out: no {' and '.join(absent)} here")
            continue
        try:
            environment = environments.ensure(peer.environment, peer.requirements, peer.python)
        except RuntimeError as error:
            console.print(f"{peer.name} is left out: {error}", style="red", markup=False)
            continue
        subjects.append(Subject(peer, environment, scale, running))
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


def _takes_part(peer: Peer, scenario: Scenario) -> bool:
    return peer.able(scenario.needs) and (not peer.only or scenario.name in peer.only)


def _run_all(chosen: list[Scenario], subjects: list[Subject], repeat: int, console: Console) -> report.Cells:
    """Peers take turns within a scenario, so that what else the machine does hits all of them."""
    cells: report.Cells = {}
    for scenario in chosen:
        row = cells.setdefault(scenario.name, {})
        able = [subject for subject in subjects if _takes_part(subject.peer, scenario)]
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
        "queue_type": subject.peer.queue_type,
        "version": versions.get(subject.peer.distribution, "unknown"),
        "counts_times": subject.peer.speed,
        "worker": " ".join(subject.peer.worker),
        "installed": versions,
    }


def _show_and_write(
    arguments: argparse.Namespace,
    began: datetime,
    chosen: list[Scenario],
    subjects: list[Subject],
    running: Servers,
    cells: report.Cells,
) -> None:
    out = Console(width=None if sys.stdout.isatty() else 180)
    report.show(out, chosen, [subject.peer for subject in subjects], cells)
    verdicts = targets.judge(arguments.broker, cells)
    if verdicts:
        targets.show(out, verdicts)
    broker = "" if arguments.broker == "sqlite" else f"{arguments.broker}-"
    name = f"{began:%Y-%m-%d}-{broker}{machine.kind()}.json"
    default = environments.ROOT / "benchmarks" / "results" / name
    path = arguments.json or (None if arguments.quick else default)
    if path is not None:
        settings = {
            "date": f"{began:%Y-%m-%dT%H:%MZ}",
            "repeat": 1 if arguments.quick else arguments.repeat,
            "quick": arguments.quick,
            "servers": {kind: server.version() for kind, server in running.items()},
        }
        abouts = {each.peer.name: _about(each) for each in subjects}
        report.write(path, arguments.about, settings, abouts, cells, targets.as_json(verdicts))
        out.print(f"written to {path.name}")


def main(argv: list[str] | None = None) -> None:
    """Run what the arguments name."""
    arguments = _arguments(argv)
    only = arguments.only or ",".join(peers.DEFAULT[arguments.broker])
    chosen_peers = [PEERS[name] for name in _chosen("peer", only, PEERS)]
    names = arguments.scenario or ",".join(scenarios.DEFAULT[arguments.broker])
    chosen = [SCENARIOS[name] for name in _chosen("scenario", names, SCENARIOS)]
    console = Console(stderr=True)
    needed: list[servers.Kind] = sorted({kind for peer in chosen_peers for kind in peer.servers})
    if servers.missing(needed):
        install_servers()
    arguments.about = machine.describe()
    began = datetime.now(UTC)
    with servers.running(needed) as running:
        subjects = _subjects(chosen_peers, 0.1 if arguments.quick else 1.0, running, console)
        cells = _run_all(chosen, subjects, 1 if arguments.quick else arguments.repeat, console)
        _show_and_write(arguments, began, chosen, subjects, running, cells)


if __name__ == "__main__":
    main()
