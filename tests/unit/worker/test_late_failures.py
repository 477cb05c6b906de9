"""What a supervisor has an executor tell of a lost task whose message is a pickle."""

from __future__ import annotations

from typing import Final

import pytest

from celeriac import Celeriac, signature
from celeriac.late_failures import LATE_FAILURE
from celeriac.message import Delivery, PackedMessage
from celeriac.worker.failures import consequences
from hand_worker import make_message

LIMIT: Final = 100_000


@pytest.mark.parametrize("size", [60_000, 99_000])
def test_a_message_that_could_be_sent_can_be_told_of(app: Celeriac, size: int) -> None:
    app.conf.update(task_serializer="pickle", accept_content=["pickle", "json"], task_message_size_limit=LIMIT)
    message = make_message(app, "lost", "x" * size, link_error=signature("errback"))
    assert size < len(message.body) <= LIMIT
    told = consequences(app, Delivery(1, 1, PackedMessage.pack(message), "q"), RuntimeError("lost"))
    (publication,) = told.publications
    assert publication.message.headers["task"] == LATE_FAILURE
