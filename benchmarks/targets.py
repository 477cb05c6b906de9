"""What Celeriac on a server is meant to reach, beside what a run has measured. Informs; fails nothing."""

from __future__ import annotations

import functools
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from benchmarks.scenarios import SCENARIOS

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.report import Cells

_CELERY: Final = ("celery-redis",)
_ARDIQ: Final = ("ardiq",)
_PYTHON: Final = ("dramatiq", "huey-redis", "taskiq", "saq", "streaq", "arq", "rq")


@dataclass(frozen=True)
class Target:
    """One bound.

    Attributes:
        text: what, in words.
        scenario: where it is measured.
        metric: its key there.
        bound: of the figure itself; with `peers`: of how many times better it is than the best of theirs.
        peers: with whom it is compared.
        own: which of Celeriac's setups it is about.
        strict: the bound itself is not enough.
    """

    text: str
    scenario: str
    metric: str
    bound: float
    peers: tuple[str, ...] = ()
    strict: bool = False
    own: str = "celeriac-redis"


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured; `met` is None when something it needs was not."""

    text: str
    wanted: str
    measured: float | None
    met: bool | None
    best_peer: str = ""


_REDIS: Final = (
    Target("drain, times Celery", "drain", "rate", 40, _CELERY),
    Target("drain, times the fastest in Python", "drain", "rate", 6, _PYTHON),
    Target("drain, times ArdiQ", "drain", "rate", 4, _ARDIQ),
    Target("drain, times ArdiQ with plain functions, as ours are", "drain", "rate", 4, ("ardiq-plain",)),
    Target("CPU per task, worker tree, Celery's by ours", "drain", "cpu", 40, _CELERY),
    Target("drain with results, times Celery", "drain-results", "rate", 25, _CELERY),
    Target("single delay(), times Celery", "enqueue", "each", 3, _CELERY),
    Target("single delay(), times the fastest", "enqueue", "each", 1, (*_PYTHON, *_ARDIQ)),
    Target("bulk, tasks/s", "enqueue", "many", 40_000),
    Target("bulk, times ArdiQ", "enqueue", "many", 1, _ARDIQ),
    Target("enqueue to start, p50, ms", "latency", "p50", 1.2, strict=True),
    Target("enqueue to start, p99, ms", "latency", "p99", 5, strict=True),
    Target("due to start, p99, ms", "due", "p99", 50, strict=True),
    Target("delay().get(), p50, ms", "round-trip", "p50", 2.5, strict=True),
    *(
        Target(f"{text}, to its result, times Celery", name, "done", 10, _CELERY)
        for name, text in (
            ("chain", "chain of 100"),
            ("group", "group of 1,000"),
            ("chord", "chord of 1,000"),
            ("nested-chord", "chord of 30 chords of 30"),
        )
    ),
    Target("bytes of a chain of 200, Celery's by ours", "long-chain", "moved", 1.5, _CELERY),
    Target("chord of 10,000, % of the rate of plain tasks", "large-chord", "kept", 80),
    Target("idle worker, % of a core", "at-rest", "cpu", 1, strict=True),
    Target("idle worker, Redis commands/s", "at-rest", "commands", 5, strict=True),
    Target("Redis commands per task under load", "commands", "sent", 0.1),
    Target("idle fleet: commands per worker, 1,000 by 10", "fleet", "growth", 1.1),
    Target("drain of 1,000,000, % of that of 10,000", "million", "kept", 90),
    Target("worker's memory with 1,000,000 due later, MiB added", "million-future", "added", 5),
)

_rabbitmq = functools.partial(Target, own="celeriac-rabbitmq")
_quorum = functools.partial(Target, own="celeriac-quorum")
_RABBITMQ: Final = (
    _rabbitmq("drain, times Celery", "drain", "rate", 4, ("celery-rabbitmq",)),
    _rabbitmq("drain, times dramatiq", "drain", "rate", 1.8, ("dramatiq-rabbitmq",)),
    _quorum("drain, quorum queues, times Celery", "drain", "rate", 1, ("celery-quorum",)),
    _quorum("drain, quorum queues, times dramatiq", "drain", "rate", 1, ("dramatiq-quorum",)),
    _rabbitmq("delay() confirmed, times Celery's without", "enqueue", "each", 1, ("celery-rabbitmq",)),
    _rabbitmq("delay() confirmed, times Celery's confirmed", "enqueue", "each", 1, ("celery-confirmed",)),
    _rabbitmq("bulk confirmed, tasks/s", "enqueue", "many", 10_000),
    _quorum("bulk confirmed, quorum queues, tasks/s", "enqueue", "many", 10_000),
    _rabbitmq("enqueue to start, p50, ms", "latency", "p50", 3, strict=True),
    _quorum("enqueue to start, quorum queues, p50, ms", "latency", "p50", 3, strict=True),
)

#: By the `--broker` of the run.
TARGETS: Final[dict[str, tuple[Target, ...]]] = {"redis": _REDIS, "rabbitmq": _RABBITMQ}


def judge(broker: str, cells: Cells) -> list[Verdict]:
    """All targets for this broker against what was measured."""
    return [_judge(target, cells) for target in TARGETS.get(broker, ())]


def _judge(target: Target, cells: Cells) -> Verdict:
    metric = next(each for each in SCENARIOS[target.scenario].metrics if each.key == target.metric)
    higher = metric.better == "higher"
    own = _median(cells, target, target.own)
    theirs = {name: figure for name in target.peers if (figure := _median(cells, target, name)) is not None}
    if own is None or (target.peers and not theirs):
        return Verdict(target.text, _wanted(target, higher or bool(target.peers)), None, None)
    if not target.peers:
        return Verdict(target.text, _wanted(target, higher), own, _holds(own, target, higher))
    best = (max if higher else min)(theirs, key=lambda name: theirs[name])
    times = own / theirs[best] if higher else theirs[best] / own
    return Verdict(target.text, _wanted(target, True), times, _holds(times, target, True), best)


def _median(cells: Cells, target: Target, peer: str) -> float | None:
    cell = cells.get(target.scenario, {}).get(peer)
    samples = cell.samples.get(target.metric) if cell else None
    return statistics.median(samples) if samples else None


def _holds(figure: float, target: Target, higher: bool) -> bool:
    if figure == target.bound:
        return not target.strict
    return (figure > target.bound) == higher


def _wanted(target: Target, higher: bool) -> str:
    relation = (">" if higher else "<") + ("" if target.strict else "=")
    return f"{relation} {target.bound:,g}"


def show(console: Console, verdicts: list[Verdict]) -> None:
    """Print them as a table."""
    table = Table("target", "wanted", "measured", "", title="Targets", title_justify="left", title_style="bold")
    for verdict in verdicts:
        measured = "-" if verdict.measured is None else f"{verdict.measured:,.4g}"
        against = f" [dim]({verdict.best_peer})[/]" if verdict.best_peer else ""
        word = {True: "[green]met[/]", False: "[red]missed[/]", None: "not measured"}[verdict.met]
        table.add_row(verdict.text, verdict.wanted, measured + against, word)
    console.print(table)


def as_json(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """For the result file."""
    return [asdict(verdict) for verdict in verdicts]
