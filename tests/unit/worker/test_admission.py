"""What is run at once, later, or not at all, by what messages of other producers say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.message import PARKED_HEADER, Delivery, Message, PackedMessage
from celeriac.outcome import Discarded, Early
from celeriac.testing import VirtualClock
from celeriac.worker.admission import Admission
from celeriac.worker.executors.executor import Assignment
from celeriac.worker.options import WorkerOptions


@pytest.fixture
def admission(app: Celeriac) -> Admission:
    return Admission(app, WorkerOptions.from_app(app), "process")


def text_of(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def protocol_2(**headers: Any) -> Message:
    return Message({"task": "add", "id": "1", **headers}, {}, b"[[], {}, {}]")


def protocol_1(**fields: Any) -> Message:
    return Message({}, {}, json.dumps({"task": "add", "id": "1", "args": [], "kwargs": {}, **fields}).encode())


def delivery_of(message: Message) -> Delivery:
    return Delivery(1, 1, PackedMessage.pack(message), "celery")


@pytest.mark.parametrize("make", [protocol_1, protocol_2])
def test_a_message_that_comes_before_its_time_is_put_aside_until_then(
    admission: Admission, clock: VirtualClock, make: Any
) -> None:
    due = clock.time() + 60
    verdict = admission.admit(delivery_of(make(eta=text_of(due))), clock.time())
    assert isinstance(verdict, Early)
    assert verdict.not_before == due
    assert verdict.message.headers[PARKED_HEADER] == text_of(due)
    assert isinstance(admission.admit(delivery_of(verdict.message), due), Assignment)


@pytest.mark.parametrize("make", [protocol_1, protocol_2])
def test_what_was_put_aside_runs_when_it_comes_back_though_this_clock_is_slow(
    admission: Admission, clock: VirtualClock, make: Any
) -> None:
    verdict = admission.admit(delivery_of(make(eta=text_of(clock.time() + 60))), clock.time())
    assert isinstance(verdict, Early)
    assert isinstance(admission.admit(delivery_of(verdict.message), clock.time()), Assignment)


def test_what_was_put_aside_once_is_put_aside_for_a_new_time_too(admission: Admission, clock: VirtualClock) -> None:
    """A Celery worker that retries it carries the header on."""
    message = protocol_2(eta=text_of(clock.time() + 60), **{PARKED_HEADER: text_of(clock.time() - 5)})
    assert isinstance(admission.admit(delivery_of(message), clock.time()), Early)


@pytest.mark.parametrize("eta", ["1970-01-01T00:00:00", "nonsense", 5])
def test_an_eta_that_is_over_or_none_holds_nothing_up(admission: Admission, clock: VirtualClock, eta: object) -> None:
    assert isinstance(admission.admit(delivery_of(protocol_2(eta=eta)), clock.time()), Assignment)


@pytest.mark.parametrize("make", [protocol_1, protocol_2])
def test_an_expired_message_is_discarded_whatever_its_protocol(
    admission: Admission, clock: VirtualClock, make: Any
) -> None:
    verdict = admission.admit(delivery_of(make(expires=text_of(clock.time() - 1))), clock.time())
    assert isinstance(verdict, Discarded)
    assert verdict.result is not None
    assert (verdict.result.task_id, verdict.result.status) == ("1", "REVOKED")


@pytest.mark.parametrize("make", [protocol_1, protocol_2])
def test_time_limits_of_the_message_count_whatever_its_protocol(
    admission: Admission, clock: VirtualClock, make: Any
) -> None:
    verdict = admission.admit(delivery_of(make(timelimit=[30, 20])), clock.time())
    assert isinstance(verdict, Assignment)
    assert (verdict.job.time_limit, verdict.job.soft_time_limit) == (30, 20)
