"""Samples into a table and into a file. Asserts nothing: a benchmark informs, it does not pass or fail."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from benchmarks.peers.base import Peer
    from benchmarks.scenarios import Metric, Scenario


@dataclass
class Cell:
    """All that is known of one scenario for one peer: samples by metric, and what went wrong."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, figures: dict[str, float]) -> None:
        for key, figure in figures.items():
            self.samples.setdefault(key, []).append(figure)


#: More peers than these stand one below the other.
_SIDE_BY_SIDE: Final = 5

Cells = dict[str, dict[str, Cell]]  # scenario, peer


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _ratio(metric: Metric, own: float, first: float) -> float | None:
    """How many times better the first peer is; None where that says nothing."""
    if own <= 0 or first <= 0 or not metric.compared:
        return None
    return first / own if metric.better == "higher" else own / first


def _cell(metric: Metric, cell: Cell | None, first: Cell | None) -> str:
    samples = cell.samples.get(metric.key) if cell else None
    if not samples:
        return "failed" if cell and cell.errors else "-"
    middle = statistics.median(samples)
    text = _number(middle)
    if len(samples) > 1:
        text += f" [dim]({_number(min(samples))} to {_number(max(samples))})[/]"
    if first is not None and first is not cell and (reference := first.samples.get(metric.key)):
        ratio = _ratio(metric, middle, statistics.median(reference))
        if ratio is not None:
            text += f" [{'green' if ratio >= 1 else 'red'}]{ratio:.1f}x[/]"
    return text


def _reference(peer: Peer, shown: list[Peer], row: dict[str, Cell]) -> Cell | None:
    """With what it is compared: the first that is shown, of those with queues of the same type."""
    return next(row[other.name] for other in shown if other.queue_type == peer.queue_type)


def _table(scenario: Scenario, shown: list[Peer], row: dict[str, Cell]) -> Table:
    """Peers side by side; one below the other where they are many."""
    table = Table(title=scenario.title, title_justify="left", title_style="bold")
    turned = len(shown) > _SIDE_BY_SIDE
    gap = " " if turned else "\n"
    heads = [peer.name + ("" if peer.speed == 1 else f"{gap}[dim]counts x {peer.speed:g}[/]") for peer in shown]
    names = [f"{metric.title}, {metric.unit}" for metric in scenario.metrics]
    firsts = [_reference(peer, shown, row) for peer in shown]
    lines = [
        [_cell(metric, row.get(peer.name), first) for peer, first in zip(shown, firsts, strict=True)]
        for metric in scenario.metrics
    ]
    if turned:
        names, heads, lines = heads, names, [list(line) for line in zip(*lines, strict=True)]
    table.add_column("")
    for head in heads:
        table.add_column(head, justify="right")
    for name, line in zip(names, lines, strict=True):
        table.add_row(name, *line)
    return table


def show(console: Console, scenarios: list[Scenario], peers: list[Peer], cells: Cells) -> None:
    """Print a table for each scenario: median (least to greatest), and how many times better the first is."""
    for scenario in scenarios:
        row = cells.get(scenario.name, {})
        shown = [peer for peer in peers if peer.name in row]
        if not shown:
            continue
        console.print(_table(scenario, shown, row))
        for peer in shown:
            for error in row[peer.name].errors:
                console.print(f"{peer.name}: {error}", style="red", markup=False)


def write(
    path: Path,
    machine: dict[str, Any],
    settings: dict[str, Any],
    peers: dict[str, dict[str, Any]],
    cells: Cells,
    targets: list[dict[str, Any]],
) -> None:
    """Write everything that was measured as JSON."""
    results = {
        scenario: {
            name: {
                "median": {key: statistics.median(samples) for key, samples in cell.samples.items()},
                "samples": cell.samples,
                "errors": cell.errors,
            }
            for name, cell in row.items()
        }
        for scenario, row in cells.items()
    }
    content = {"machine": machine, "settings": settings, "peers": peers, "targets": targets, "results": results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
