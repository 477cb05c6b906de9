"""The workflows that are tried, as trees of numbered tasks, and what must become of every task. Knows no task queue.

A task takes the number that it has within its workflow from here; see `number_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: A workflow has at most so many tasks.
STRIDE: Final = 16

#: It runs to its end; it runs and raises; it must not run, as something before it has failed: its result is a FAILURE;
#: it must not run and has no result: nothing has failed.
Fate = Literal["runs", "fails", "barred", "unused"]


@dataclass(frozen=True)
class Step:
    """One task.

    Attributes:
        number: its own.
        fails: it raises.
        errback: the number of the one that is linked for its failure.
        adds: the number of a member that it adds to the chord whose member it is.
    """

    number: int
    fails: bool = False
    errback: int | None = None
    adds: int | None = None


@dataclass(frozen=True)
class Chain:
    """One after the other."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True)
class Group:
    """Side by side."""

    members: tuple[Tree, ...]


@dataclass(frozen=True)
class Chord:
    """Side by side, and then one with the results of all."""

    header: tuple[Tree, ...]
    body: Step


Tree = Step | Chain | Group | Chord
#: What a task returns: its number. What a group comes to: the list of what its members come to.
Value = int | list["Value"]


@dataclass(frozen=True)
class Expected:
    """What must become of one task.

    Attributes:
        fate: see there.
        after: the tasks that must have ended before it starts.
        is_errback: called for a failure; what it returns is of no interest.
        is_body: its failure, if something before it has failed, is a ChordError.
    """

    fate: Fate
    after: tuple[int, ...] = ()
    is_errback: bool = False
    is_body: bool = False


def _steps(*numbers: int) -> tuple[Step, ...]:
    return tuple(Step(number) for number in numbers)


KINDS: Final[dict[str, Tree]] = {
    "chain": Chain(_steps(0, 1, 2, 3, 4)),
    "chord": Chord(_steps(0, 1, 2, 3), Step(4)),
    "chord in a chain": Chain((Step(0), Chord(_steps(1, 2, 3), Step(4)), Step(5))),
    "groups in a chain": Chain((Step(0), Group(_steps(1, 2)), Step(3), Group(_steps(4, 5)), Step(6))),
    "chords in a chord": Chord((Chord(_steps(0, 1), Step(2)), Step(3), Chord(_steps(4, 5), Step(6))), Step(7)),
    "chains in a chord": Chord((Chain(_steps(0, 1)), Chain(_steps(2, 3))), Step(4)),
    "group with a failure": Group((Step(0, errback=3), Step(1, fails=True, errback=4), Step(2, errback=5))),
    "chord with a failure": Chord((Step(0), Step(1, fails=True), Step(2)), Step(3, errback=4)),
    "chord with a failed chord": Chord(
        (Chord((Step(0), Step(1, fails=True)), Step(2)), Step(3)),
        Step(4, errback=5),
    ),
    "chord with a failed chain": Chord(
        (Chain((Step(0), Step(1, fails=True), Step(2))), Step(3)),
        Step(4, errback=5),
    ),
    "chord that grows": Chord((Step(0, adds=2), Step(1)), Step(3)),
}


def kind_of(workflow: int) -> str:
    """They take turns."""
    return list(KINDS)[workflow % len(KINDS)]


def number_of(workflow: int, number: int) -> int:
    """The number of a task among all: `number` is that within its workflow."""
    return workflow * STRIDE + number


def value(tree: Tree) -> Value:
    """What it comes to, in numbers within the workflow."""
    match tree:
        case Step(number):
            return number
        case Chain(parts):
            return value(parts[-1])
        case Group(members):
            return [value(member) for member in members]
        case Chord(_, body):
            return body.number


def values(header: tuple[Tree, ...]) -> list[Value]:
    """What a body gets: members that were added come last."""
    return [*map(value, header), *(each for _, each in added_to(header))]


def added_to(header: tuple[Tree, ...]) -> list[tuple[int, int]]:
    """The members that are added to a chord, each with the one that adds it before it."""
    return [(one.number, one.adds) for one in header if isinstance(one, Step) and one.adds is not None]


def expected(workflow: int) -> dict[int, Expected]:
    """What must become of each task of a workflow, by its number among all."""
    found: dict[int, Expected] = {}
    _expect(KINDS[kind_of(workflow)], (), True, found)
    return {
        number_of(workflow, number): Expected(
            one.fate, tuple(number_of(workflow, each) for each in one.after), one.is_errback, one.is_body
        )
        for number, one in found.items()
    }


def _expect(
    tree: Tree, after: tuple[int, ...], is_well: bool, found: dict[int, Expected]
) -> tuple[tuple[int, ...], bool]:
    """Note what must become of the tasks of `tree`; those that end it, and whether it comes to a good end.

    Args:
        tree: the part in question.
        after: the tasks that end what comes before it.
        is_well: that has come to a good end.
        found: where to note it.
    """
    match tree:
        case Step():
            return _expect_step(tree, after, is_well, found)
        case Chain(parts):
            for part in parts:
                ends, goes_on = _expect(part, after, is_well, found)
                if is_well:  # what follows a failure is not waited for
                    after = ends
                is_well = goes_on
            return after, is_well
        case Group(members):
            return _expect_members(members, after, is_well, found)
        case Chord(header, body):
            ends, goes_on = _expect_members(header, after, is_well, found)
            for adder, number in added_to(header):
                found[number] = Expected("runs", (adder,))
                ends += (number,)
            return _expect_step(body, ends, goes_on, found, is_body=True)


def _expect_members(
    members: tuple[Tree, ...], after: tuple[int, ...], is_well: bool, found: dict[int, Expected]
) -> tuple[tuple[int, ...], bool]:
    all_ends = [_expect(member, after, is_well, found) for member in members]
    return tuple(end for ends, _ in all_ends for end in ends), all(goes_on for _, goes_on in all_ends)


def _expect_step(
    step: Step, after: tuple[int, ...], is_well: bool, found: dict[int, Expected], *, is_body: bool = False
) -> tuple[tuple[int, ...], bool]:
    fate: Fate = "barred" if not is_well else "fails" if step.fails else "runs"
    found[step.number] = Expected(fate, after, is_body=is_body)
    if step.errback is not None:
        cause = after if fate == "barred" else (step.number,)
        found[step.errback] = Expected("unused" if fate == "runs" else "runs", cause, is_errback=True)
    return (after if fate == "barred" else (step.number,)), fate == "runs"
