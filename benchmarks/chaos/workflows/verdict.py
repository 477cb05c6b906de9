"""The judgement over workflows: what the journal and the results say against what should have become of every task.

Knows no broker. Whether second runs have a reason is for `benchmarks.chaos.verdict` to say.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.verdict import Verdict as TaskVerdict
from benchmarks.chaos.workflows.shapes import STRIDE, Expected, expected, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.chaos.fleet import Kill
    from benchmarks.chaos.journal import Run
    from benchmarks.chaos.outage import Outage

#: The state of a task and what it has come to: its number, or the name of its error.
Result = tuple[str, int | str | None]

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
        barred: tasks that ran though something before them had failed.
        wrong: results that are missing or are not what they should be.
        left_in_store: what the store still has of chords.
        one_store: messages, results and chords are in one, so that no message has a reason to be sent twice. With two,
            a task that runs again sends again what comes after it, and a body is when its sender dies in between.
        seconds: the whole run.
    """

    workflows: dict[str, int]
    tasks: TaskVerdict
    early: dict[str, int]
    copies: int
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
            f"{self.barred} tasks ran after a failure": self.barred,
            f"results: {'; '.join(self.wrong)}": self.wrong,
            f"left of chords: {self.left_in_store}": self.left_in_store,
        }
        tasks = self.tasks if self.one_store else replace(self.tasks, unexplained=0)
        return tasks.faults(lease_seconds) + [text for text, is_wrong in checks.items() if is_wrong]


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
) -> Verdict:
    """Compare what was with what should have been.

    Args:
        workflows: the numbers of those that were sent.
        runs: the journal.
        kills: in their order.
        outages: in their order.
        results: by number.
        judge_tasks: `benchmarks.chaos.verdict.judge`, told what holds for the broker.
    """
    plan = plan_of(workflows)
    must_run = sorted(running(plan))
    return Verdict(
        workflows=dict(Counter(kind_of(number) for number in workflows)),
        # How soon a worker has started more tasks says nothing where there may be no more of them.
        tasks=replace(judge_tasks(len(must_run), _numbered_anew(runs, must_run), kills, outages), back={}),
        early=dict(Counter(kind_of_task(number) for number in _early(plan, runs))),
        copies=sum(count > 1 for count in Counter(run.number for run in runs if not run.again).values()),
        barred=len({run.number for run in runs}.difference(must_run)),
        wrong=_wrong(plan, results),
    )


def kind_of_task(number: int) -> str:
    """The kind of workflow that the task with this number is part of."""
    return kind_of(number // STRIDE)


def _numbered_anew(runs: list[Run], numbers: list[int]) -> list[Run]:
    """The runs of these tasks, which are numbered 0, 1, 2, ... in their order."""
    places = {number: place for place, number in enumerate(numbers)}
    return [replace(run, number=places[run.number]) for run in runs if run.number in places]


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
