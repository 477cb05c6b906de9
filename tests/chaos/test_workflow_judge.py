"""What must become of the tasks of a workflow, and the judgement over made-up histories of some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import pytest
from benchmarks.chaos import verdict as tasks_verdict
from benchmarks.chaos.fleet import Kill
from benchmarks.chaos.journal import Run
from benchmarks.chaos.outage import Outage
from benchmarks.chaos.workflows.shapes import KINDS, STRIDE, Expected, expected, kind_of
from benchmarks.chaos.workflows.verdict import Result, Verdict, judge, plan_of, running

_SECOND = 1_000_000_000
#: One of each kind.
_ALL = range(len(KINDS))
_CHORD = list(KINDS).index("chord") * STRIDE
_FAILING = list(KINDS).index("chord with a failure") * STRIDE


def _fates(kind: str) -> dict[int, Expected]:
    workflow = list(KINDS).index(kind)
    assert kind_of(workflow + len(_ALL)) == kind
    return {
        number - workflow * STRIDE: replace(one, after=tuple(each - workflow * STRIDE for each in one.after))
        for number, one in expected(workflow).items()
    }


def test_each_link_of_a_chain_waits_for_the_one_before_it() -> None:
    assert {number: one.after for number, one in _fates("chain").items()} == {0: (), 1: (0,), 2: (1,), 3: (2,), 4: (3,)}


def test_a_body_waits_for_the_whole_header_and_what_follows_waits_for_the_body() -> None:
    fates = _fates("chord in a chain")
    assert fates[4] == Expected("runs", (1, 2, 3), is_body=True)
    assert fates[5] == Expected("runs", (4,))
    assert _fates("groups in a chain")[3].after == (1, 2)


def test_a_chord_in_a_header_is_waited_for_to_its_body() -> None:
    assert _fates("chords in a chord")[7].after == (2, 3, 6)


def test_a_failed_member_bars_the_body_and_calls_its_errback() -> None:
    fates = _fates("chord with a failure")
    assert fates[1].fate == "fails"
    assert fates[3] == Expected("barred", (0, 1, 2), is_body=True)
    assert fates[4] == Expected("runs", (0, 1, 2), is_errback=True)


def test_a_failure_goes_up_through_chords_and_along_chains() -> None:
    fates = _fates("chord with a failed chord")
    assert (fates[2].fate, fates[4].fate, fates[5].fate) == ("barred", "barred", "runs")
    assert fates[5].after == (0, 1, 3)
    fates = _fates("chord with a failed chain")
    assert (fates[1].fate, fates[2].fate, fates[4].fate) == ("fails", "barred", "barred")
    assert fates[5].after == (1, 3)


def test_only_the_errback_of_what_failed_is_called() -> None:
    fates = _fates("group with a failure")
    assert [fates[number].fate for number in (3, 4, 5)] == ["unused", "runs", "unused"]
    assert fates[4].after == (1,)


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_of_a_workflow_are_its_own(kind: str) -> None:
    assert sorted(_fates(kind)) == list(range(len(_fates(kind))))
    assert len(_fates(kind)) <= STRIDE


def _history() -> Iterator[Run]:
    """All of one workflow of each kind, one task after the other in the order of their numbers."""
    for number in sorted(running(plan_of(_ALL))):
        yield Run(number, 10, number * _SECOND, number * _SECOND + 1)


def _results() -> dict[int, Result]:
    found: dict[int, Result] = {}
    for number, one in plan_of(_ALL).items():
        if one.fate == "runs":
            found[number] = ("SUCCESS", number)
        else:
            found[number] = ("FAILURE", "ChordError" if one.is_body else "PlannedError")
    return found


def _judge(runs: list[Run], results: dict[int, Result] | None = None, kills: list[Kill] | None = None) -> Verdict:
    return judge(_ALL, runs, kills or [], [], _results() if results is None else results, tasks_verdict.judge)


def test_nothing_is_wrong_with_a_run_in_which_nothing_happened() -> None:
    verdict = _judge(list(_history()))
    assert verdict.faults(10.0) == []
    assert set(verdict.workflows.values()) == {1}
    assert verdict.tasks.tasks == len(running(plan_of(_ALL)))


def test_a_chain_that_stopped_half_way_misses_its_end() -> None:
    verdict = _judge([run for run in _history() if run.number not in {3, 4}])
    assert verdict.tasks.missing == 2


def test_a_body_that_ran_before_a_member_had_ended_was_early() -> None:
    runs = [
        replace(run, ended=run.ended and run.ended + 10 * _SECOND) if run.number == _CHORD else run
        for run in _history()
    ]
    assert _judge(runs).early == {"chord": 1}


def test_a_member_may_run_again_after_the_body() -> None:
    again = Run(_CHORD, 11, (_CHORD + 9) * _SECOND, (_CHORD + 9) * _SECOND + 1, again=True)
    just_after_its_end = Kill("child", _CHORD * _SECOND + 2, _CHORD * _SECOND + 3, frozenset([10]))
    assert _judge([*_history(), again], kills=[just_after_its_end]).faults(10.0) == []


def test_two_messages_of_a_body_are_seen_even_if_a_kill_explains_the_second_run() -> None:
    body = _CHORD + 4
    second = Run(body, 11, (body + 2) * _SECOND, (body + 2) * _SECOND + 1)
    kill = Kill("child", body * _SECOND + 2, body * _SECOND + 3, frozenset([10]))
    verdict = _judge([*_history(), second], kills=[kill])
    assert verdict.tasks.unexplained == 0
    assert verdict.faults(10.0) == ["1 tasks were sent twice"]
    assert _judge([*_history(), replace(second, again=True)], kills=[kill]).faults(10.0) == []


_BODY = _CHORD + 4


def _sent_twice(number: int, *more: Run, outages: Sequence[Outage] = (), kills: Sequence[Kill] = ()) -> list[str]:
    """The faults of a run on two stores in which two messages of this task were sent, and nothing else is wrong."""
    second = Run(number, 11, (number + 2) * _SECOND, (number + 2) * _SECOND + 1)
    runs = [*_history(), second, *more]
    judging = partial(tasks_verdict.judge, connection_is_lease=True)
    verdict = judge(_ALL, runs, list(kills), outages, _results(), judging, one_store=False)
    assert verdict.copies == 1
    return verdict.faults(10.0)


def _hung_up(when: int) -> list[Outage]:
    return [Outage("hang up", when, when + 1)]


def test_on_two_stores_a_second_message_needs_a_reason() -> None:
    fault = ["1 tasks were sent twice without a reason"]
    assert _sent_twice(2) == _sent_twice(_BODY) == fault
    # Of another time, or of another process than a worker.
    assert _sent_twice(2, outages=_hung_up(_SECOND + _SECOND // 2)) == fault
    assert _sent_twice(_BODY, kills=[Kill("child", _BODY * _SECOND - 9, _BODY * _SECOND - 8, frozenset([12]))]) == fault


def test_on_two_stores_who_runs_again_sends_again_what_comes_next() -> None:
    again = Run(1, 12, _SECOND + _SECOND // 2, _SECOND + _SECOND // 2 + 1, worker=1, again=True)
    assert _sent_twice(2, again, outages=_hung_up(_SECOND)) == []
    assert _sent_twice(2, outages=_hung_up(_SECOND + 9)) == [], "it was not confirmed"


def test_on_two_stores_what_is_delivered_again_may_be_a_second_message() -> None:
    """Neither was run when it was delivered first: nobody noted that."""
    again = replace(next(run for run in _history() if run.number == 2), again=True)
    third = Run(2, 12, 7 * _SECOND, 7 * _SECOND + 1, worker=0, again=True)
    runs = sorted([*(run for run in _history() if run.number != 2), again, third], key=lambda run: run.started)
    for outages, faults in ((_hung_up(_SECOND + 9), []), ([], ["1 second runs without a kill"])):
        verdict = judge(_ALL, runs, [], outages, _results(), tasks_verdict.judge, one_store=False)
        assert verdict.faults(10.0) == faults
    assert judge(_ALL, runs, [], _hung_up(_SECOND + 9), _results(), tasks_verdict.judge).tasks.unexplained == 1


def test_on_two_stores_a_member_that_runs_again_is_no_reason_for_a_second_body() -> None:
    member = _BODY - 1
    again = Run(member, 12, member * _SECOND + 9, member * _SECOND + 10, worker=1, again=True)
    cut = _hung_up(member * _SECOND)
    (fault,) = _sent_twice(_BODY, again, outages=[replace(cut[0], after=member * _SECOND + 1)])
    assert fault == "1 tasks were sent twice without a reason"


def test_on_two_stores_a_body_is_sent_again_if_its_sender_may_have_died() -> None:
    between = _BODY * _SECOND - _SECOND // 2
    assert _sent_twice(_BODY, kills=[Kill("worker", between, between + 1, frozenset([12]))]) == []
    assert _sent_twice(_BODY, outages=_hung_up(between)) == []


def test_what_a_member_adds_is_waited_for_and_comes_last() -> None:
    fates = _fates("chord that grows")
    assert fates[2] == Expected("runs", (0,))
    assert fates[3] == Expected("runs", (0, 1, 2), is_body=True)


def test_a_body_that_runs_in_spite_of_a_failure_is_a_fault() -> None:
    body = Run(_FAILING + 3, 10, (_FAILING + 9) * _SECOND, (_FAILING + 9) * _SECOND + 1)
    assert _judge([*_history(), body]).faults(10.0) == ["1 tasks ran after a failure"]


def test_a_body_without_a_chord_error_is_a_fault() -> None:
    [fault] = _judge(list(_history()), _results() | {_FAILING + 3: ("PENDING", None)}).faults(10.0)
    assert "chord with a failure" in fault
    assert "PENDING" in fault
