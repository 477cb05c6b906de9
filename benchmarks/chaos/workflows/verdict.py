"""The judgement over workflows: what the journal and the results say against what should have become of every task.

Knows no broker. Whether second runs have a reason is for `benchmarks.chaos.verdict` to say.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.verdict import CUTTING
from benchmarks.chaos.verdict import Verdict as TaskVerdict
from benchmarks.chaos.workflows.shapes import STRIDE, Expected, expected, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.chaos.fleet import Kill
    from benchmarks.chaos.journal import Run
    from benchmarks.chaos.outage import Outage

#: The state of a task and what it has come to: its number, or the name of its error.
Result = tuple[str, int | str | None]

#: Within this time (ns) after its end the messages that a task causes have been confirmed.
_SENT: Final = 100_000_000
#: So many of a kind are named; the others are counted.
_NAMED: Final = 5


@dataclass(frozen=True)
class Verdict:
    """What became of the workflows.

    Attributes:
        workflows: sent, by kind.
        tasks: what became of their tasks that had to run: see there.
        early: tasks that started before all that they had to wait for had ended, by kind of workflow.
        copies: tasks of which more than one message was sent: two that nobody had had in hands before.
        uncaused: of these, those of which nothing explains a second message where there are two stores: neither a
            second run of the task that sends it, nor that the server or a worker went when it was sent.
        barred: tasks that ran though something before them had failed.
        wrong: results that are missing or are not what they should be.
        left_in_store: what the store still has of chords.
        one_store: messages, results and chords are in one, so that no message has a reason to be sent twice.
        seconds: the whole run.
    """

    workflows: dict[str, int]
    tasks: TaskVerdict
    early: dict[str, int]
    copies: int
    uncaused: int
    barred: int
    wrong: list[str]
    left_in_store: list[str] = field(default_factory=list)
    one_store: bool = True
    seconds: float = 0.0

    def faults(self, lease_seconds: float) -> list[str]:
        """What Celeriac promises and has not kept; empty when all is well."""
        checks = {
            f"started before all that is before them had ended: {self.early}": self.early,
            f"{self.copies} tasks were sent twice": self.copies and self.one_store,
            f"{self.uncaused} tasks were sent twice without a reason": self.uncaused and not self.one_store,
            f"{self.barred} tasks ran after a failure": self.barred,
            f"results: {'; '.join(self.wrong)}": self.wrong,
            f"left of chords: {self.left_in_store}": self.left_in_store,
        }
        return self.tasks.faults(lease_seconds) + [text for text, is_wrong in checks.items() if is_wrong]


@functools.cache
def plan_of(workflows: range) -> Mapping[int, Expected]:
    """What must become of all tasks of these workflows, by number."""
    return {number: one for workflow in workflows for number, one in expected(workflow).items()}


def running(plan: Mapping[int, Expected]) -> set[int]:
    """Those that must run."""
    return {number for number, one in plan.items() if one.fate in {"runs", "fails"}}


def judge(
    workflows: range,
    runs: list[Run],
    kills: list[Kill],
    outages: Sequence[Outage],
    results: Mapping[int, Result],
    judge_tasks: Callable[[int, list[Run], list[Kill], Sequence[Outage]], TaskVerdict],
    *,
    one_store: bool = True,
) -> Verdict:
    """Compare what was with what should have been.

    Args:
        workflows: the numbers of those that were sent.
        runs: the journal.
        kills: in their order.
        outages: in their order.
        results: by number.
        judge_tasks: `benchmarks.chaos.verdict.judge`, told what holds for the broker.
        one_store: see `Verdict`.
    """
    plan = plan_of(workflows)
    must_run = sorted(running(plan))
    numbered = _numbered_anew(runs, must_run)
    again = [number for number, count in Counter(run.number for run in runs).items() if count > 1]
    caused = {number for number in again if _is_caused(plan[number], number, runs, kills, outages)}
    # That a second message is run is no second run of the first one: whether it has a reason is another question.
    of_first = _without_copies(runs, set[int]() if one_store else caused)
    unexplained = judge_tasks(len(must_run), _numbered_anew(of_first, must_run), kills, outages).unexplained
    return Verdict(
        workflows=dict(Counter(kind_of(number) for number in workflows)),
        # How soon a worker has started more tasks says nothing where there may be no more of them.
        tasks=replace(judge_tasks(len(must_run), numbered, kills, outages), back={}, unexplained=unexplained),
        early=dict(Counter(kind_of_task(number) for number in _early(plan, runs))),
        copies=len(_copied(runs)),
        uncaused=len(set(_copied(runs)) - caused),
        barred=len({run.number for run in runs}.difference(must_run)),
        wrong=_wrong(plan, results),
        one_store=one_store,
    )


def kind_of_task(number: int) -> str:
    """The kind of workflow that the task with this number is part of."""
    return kind_of(number // STRIDE)


def _numbered_anew(runs: list[Run], numbers: list[int]) -> list[Run]:
    """The runs of these tasks, which are numbered 0, 1, 2, ... in their order."""
    places = {number: place for place, number in enumerate(numbers)}
    return [replace(run, number=places[run.number]) for run in runs if run.number in places]


def _copied(runs: list[Run]) -> list[int]:
    """The tasks of which more than one message was sent."""
    return [number for number, count in Counter(run.number for run in runs if not run.again).items() if count > 1]


def _without_copies(runs: list[Run], caused: set[int]) -> list[Run]:
    """The runs of first messages.

    What is delivered again does not say whose delivery it is. Of a task in `caused`, of which a second message may have
    been sent, the last one is taken for that if there is no other that is.
    """
    of_task: dict[int, list[Run]] = {}
    for run in runs:
        of_task.setdefault(run.number, []).append(run)
    kept: list[Run] = []
    for number, its in of_task.items():
        new = [run for run in its if not run.again]
        rest = [run for run in its if run.again or run is new[0]]
        kept += rest[:-1] if number in caused and len(new) <= 1 < len(its) else rest
    return sorted(kept, key=lambda run: run.started)


def _is_caused(one: Expected, number: int, runs: list[Run], kills: list[Kill], outages: Sequence[Outage]) -> bool:
    """There is a reason why its message was sent twice, where it is not sent in one step with all else."""
    before = [run for run in runs if run.number in one.after and run.ended is not None]
    if not before:
        return False
    began = max(run.ended or 0 for run in before)
    if len(one.after) == 1:  # sent by that task
        return len(before) > 1 or _befell(outages, began, began + _SENT)
    # Sent when a header was complete, by a worker that had claimed the chord. A member that ran twice counts once.
    started = min(run.started for run in runs if run.number == number)
    workers = [kill for kill in kills if kill.what == "worker"]
    return _befell(outages, began, started) or any(began < kill.after and kill.before < started for kill in workers)


def _befell(outages: Sequence[Outage], since: int, until: int) -> bool:
    """Connections were lost between these times, or could not be made."""
    return any(one.what in CUTTING and since < one.after and one.before < until for one in outages)


def _early(plan: Mapping[int, Expected], runs: list[Run]) -> set[int]:
    """Tasks that started before one of those had ended that must have ended before."""
    first_end: dict[int, int] = {}
    for run in runs:
        if run.ended is not None:
            first_end[run.number] = min(run.ended, first_end.get(run.number, run.ended))
    return {
        run.number
        for run in runs
        if run.number in plan
        for before in plan[run.number].after
        if before not in first_end or run.started < first_end[before]
    }


def _wrong(plan: Mapping[int, Expected], results: Mapping[int, Result]) -> list[str]:
    wanted = {number: _result(number, one) for number, one in plan.items() if not one.is_errback}
    lines = [
        f"{kind_of_task(number)}: task {number} is {results.get(number)}, not {result}"
        for number, result in wanted.items()
        if results.get(number) != result
    ]
    return lines[:_NAMED] + [f"and {len(lines) - _NAMED} more"] * (len(lines) > _NAMED)


def _result(number: int, one: Expected) -> Result:
    if one.fate == "runs":
        return "SUCCESS", number
    return "FAILURE", "ChordError" if one.is_body else "PlannedError"
