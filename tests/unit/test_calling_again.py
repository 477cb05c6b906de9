"""Sending while the broker is away: tried again as the call and the settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from celeriac import Celeriac
from celeriac.brokers.base import Broker
from celeriac.exceptions import OperationalError
from celeriac.message import Publication
from celeriac.option_types import RetryPolicy
from hand_worker import HandWorker


class Failing:
    """Refuses the first publications."""

    def __init__(self, broker: Broker, failures: int) -> None:
        self._publish = broker.publish
        self.left = failures
        self.tries = 0

    def publish(self, publications: Sequence[Publication]) -> None:
        self.tries += 1
        if self.left:
            self.left -= 1
            raise OperationalError("away")
        self._publish(publications)

    async def apublish(self, publications: Sequence[Publication]) -> None:
        self.publish(publications)


NO_PAUSE: RetryPolicy = {"interval_start": 0, "interval_step": 0}


def fail(app: Celeriac, monkeypatch: pytest.MonkeyPatch, times: int) -> Failing:
    failing = Failing(app.broker, times)
    monkeypatch.setattr(app.broker, "publish", failing.publish)
    monkeypatch.setattr(app.broker, "apublish", failing.apublish)
    return failing


@pytest.mark.parametrize(
    ("policy", "failures", "tries"),
    [({}, 3, 4), ({"max_retries": 1}, 1, 2), ({"max_retries": 10}, 5, 6)],
)
def test_publishing_is_tried_again(
    app: Celeriac,
    worker: HandWorker,
    monkeypatch: pytest.MonkeyPatch,
    policy: RetryPolicy,
    failures: int,
    tries: int,
) -> None:
    failing = fail(app, monkeypatch, failures)
    app.send_task("x", retry_policy={**NO_PAUSE, **policy})
    assert failing.tries == tries
    failing.left, failing.tries = failures, 0
    asyncio.run(app.asend_task("x", retry_policy={**NO_PAUSE, **policy}))
    assert failing.tries == tries
    assert len(worker.waiting()) == 2


def test_publishing_gives_up_in_the_end(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    app.conf.task_publish_retry_policy = dict(NO_PAUSE)
    failing = fail(app, monkeypatch, 99)
    with pytest.raises(OperationalError, match="away"):
        app.send_task("x")
    assert failing.tries == 4
    failing.tries = 0
    with pytest.raises(OperationalError, match="away"):
        app.send_task("x", retry=False)
    assert failing.tries == 1
    with pytest.raises(OperationalError, match="away"):
        asyncio.run(app.asend_task("x"))
    with pytest.raises(ValueError, match="for ever"):
        app.send_task("x", retry_policy={"max_retries": None})


def test_pauses_grow_up_to_the_longest(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("celeriac.calling.time.sleep", pauses.append)
    fail(app, monkeypatch, 99)
    with pytest.raises(OperationalError):
        app.send_task("x", retry_policy={"max_retries": 7})
    assert pauses == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1])
