"""`decide`: every outcome under every policy, and what must hold for all of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.message import Delivery, Loss, Message, PackedMessage, Publication
from celeriac.outcome import (
    Acknowledge,
    AckPolicy,
    Bury,
    Discarded,
    Early,
    Failed,
    Ignored,
    Keep,
    Lost,
    Outcome,
    Rejected,
    Requeue,
    ResultRecord,
    Retried,
    Succeeded,
    TimedOut,
    Unrunnable,
    decide,
)

NOW = 1_800_000_000.0
MESSAGE = Message({"task": "t", "id": "1"}, {}, b"[[], {}, {}]")
AGAIN = Message({"task": "t", "id": "1", "retries": 1}, {}, b"[[], {}, {}]")
RECORD = ResultRecord("1", "SUCCESS", b"{}")
LINK = Publication(Message({"task": "next", "id": "2"}, {}, b"[[], {}, {}]"), "celery")

OUTCOMES: list[Outcome] = [
    Succeeded(RECORD, (LINK,)),
    Failed("ValueError()", RECORD, (LINK,)),
    TimedOut("TimeLimitExceeded(1)", RECORD, (LINK,)),
    Retried(AGAIN, NOW + 3, "ValueError()", RECORD),
    Ignored(),
    Rejected("no", requeue=True),
    Rejected("no", requeue=False, result=RECORD),
    Discarded("expired", RECORD),
    Early(MESSAGE, NOW + 60),
    Unrunnable("unknown task", RECORD),
    Lost("killed", "w1", failure=RECORD, follow_ups=(LINK,)),
    Lost("killed", "w1", started=False, failure=RECORD, follow_ups=(LINK,)),
]
POLICIES = [
    AckPolicy(late, on_failure, on_timeout, again, most)
    for late, on_failure, on_timeout, again in itertools.product([True, False], repeat=4)
    for most in (1, 3)
]


def delivery(losses: int = 0) -> Delivery:
    history = tuple(Loss(NOW - 10 * number, "w0", "killed") for number in range(losses))
    return Delivery(tag=7, token=1, packed=PackedMessage.pack(MESSAGE), queue="celery", priority=4, history=history)


@pytest.mark.parametrize(
    ("outcome", "action"),
    [
        (Succeeded(RECORD, (LINK,)), Acknowledge()),
        (Failed("e", RECORD), Acknowledge()),
        (TimedOut("e", RECORD), Acknowledge()),
        (Retried(AGAIN, NOW + 3, "e", RECORD), Requeue(AGAIN, NOW + 3)),
        (Ignored(), Acknowledge()),
        (Rejected("no", requeue=True), Requeue()),
        (Rejected("no", requeue=False), Bury("no")),
        (Discarded("expired", RECORD), Acknowledge()),
        (Early(MESSAGE, NOW + 60), Requeue(MESSAGE, NOW + 60)),
        (Unrunnable("unknown task", RECORD), Bury("unknown task")),
        (Lost("killed", "w1"), Requeue(loss=Loss(NOW, "w1", "killed"))),
        (Lost("killed", "w1", started=False), Requeue()),
    ],
)
def test_with_late_acknowledgement(outcome: Outcome, action: object) -> None:
    assert decide(delivery(), outcome, NOW).action == action


def test_a_success_carries_its_result_and_its_links() -> None:
    settlement = decide(delivery(), Succeeded(RECORD, (LINK,)), NOW)
    assert (settlement.result, settlement.follow_ups) == (RECORD, (LINK,))


def test_a_failure_goes_to_the_dead_letters_when_failures_are_not_acknowledged() -> None:
    policy = AckPolicy(acks_on_failure=False)
    assert decide(delivery(), Failed("ValueError()"), NOW, policy).action == Bury("ValueError()")
    assert decide(delivery(), TimedOut("late"), NOW, policy).action == Acknowledge()


def test_a_timeout_goes_to_the_dead_letters_when_timeouts_are_not_acknowledged() -> None:
    policy = AckPolicy(acks_on_timeout=False)
    assert decide(delivery(), TimedOut("late"), NOW, policy).action == Bury("late")
    assert decide(delivery(), Failed("ValueError()"), NOW, policy).action == Acknowledge()


def test_the_last_allowed_loss_buries_with_the_failure_and_its_errbacks() -> None:
    lost = Lost("killed by signal 9", "w1", failure=RECORD, follow_ups=(LINK,))
    early = decide(delivery(losses=1), lost, NOW, AckPolicy(max_deliveries=3))
    assert isinstance(early.action, Requeue)
    assert (early.result, early.follow_ups) == (None, ())
    last = decide(delivery(losses=2), lost, NOW, AckPolicy(max_deliveries=3))
    assert isinstance(last.action, Bury)
    assert "lost 3 times" in last.action.reason
    assert last.action.loss == Loss(NOW, "w1", "killed by signal 9")
    assert (last.result, last.follow_ups) == (RECORD, (LINK,))


def test_a_loss_is_a_failure_at_once_when_lost_tasks_shall_not_run_again() -> None:
    lost = Lost("killed", "w1", failure=RECORD, follow_ups=(LINK,))
    settlement = decide(delivery(), lost, NOW, AckPolicy(reject_on_worker_lost=False))
    assert settlement.action == Acknowledge()
    assert settlement.result == RECORD


def test_an_early_acknowledged_retry_is_published_anew() -> None:
    settlement = decide(delivery(), Retried(AGAIN, NOW + 3, "e", RECORD), NOW, AckPolicy(acks_late=False))
    assert settlement.action == Keep()
    assert settlement.follow_ups == (Publication(AGAIN, "celery", 4, NOW + 3),)
    assert settlement.fenced is False


def test_an_early_acknowledged_message_that_can_not_run_is_still_kept() -> None:
    settlement = decide(delivery(), Unrunnable("unknown task", RECORD), NOW, AckPolicy(acks_late=False))
    assert settlement.action == Bury("unknown task")
    assert settlement.fenced is False


@given(st.sampled_from(OUTCOMES), st.sampled_from(POLICIES), st.integers(0, 5))
def test_what_holds_for_all(outcome: Outcome, policy: AckPolicy, losses: int) -> None:
    held = delivery(losses)
    settlement = decide(held, outcome, NOW, policy)
    assert settlement.delivery is held
    assert settlement.fenced is policy.acks_late
    if not settlement.fenced:
        assert isinstance(settlement.action, Keep | Bury), "there is no stored message to change"
    if isinstance(settlement.action, Requeue) and settlement.action.loss is not None:
        assert losses + 1 < policy.max_deliveries, "a message is never given back past its limit"
    if isinstance(settlement.action, Requeue):
        assert not settlement.follow_ups, "what is not finished causes nothing yet"
