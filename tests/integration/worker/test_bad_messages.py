"""Messages that can not be run: each gets a clear line, is kept, and harms no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from celeriac import states
from celeriac.exceptions import NotRegistered, TaskRevokedError
from celeriac.message import DeadLetter, Message, Publication

from .conftest import DEADLINE, Bench, wait_until


def headers(task: str = "worker_app.add", **more: Any) -> dict[str, Any]:
    return {"task": task, "id": "bad-1", "retries": 0, **more}


GOOD_BODY = b"[[1, 2], {}, {}]"

BAD: dict[str, tuple[Message, str]] = {
    "unknown task": (Message(headers("worker_app.ad"), {}, GOOD_BODY), "no task named 'worker_app.ad'"),
    "no id": (Message({"task": "worker_app.add"}, {}, GOOD_BODY), "id"),
    "not JSON": (Message(headers(), {}, b"{[not json"), ""),
    "not UTF-8": (Message(headers(), {}, b"\xff\xfe\xfa"), ""),
    "empty body": (Message(headers(), {}, b""), ""),
    "body of the wrong shape": (Message(headers(), {}, b"42"), ""),
    "content type refused": (
        Message(headers(), {}, b"\x80\x04N.", "application/x-python-serialize", "binary"),
        "accept",
    ),
    "unknown content type": (Message(headers(), {}, GOOD_BODY, "application/x-nonsense"), "nonsense"),
    "unknown compression": (Message(headers(compression="application/x-rar"), {}, GOOD_BODY), "rar"),
    "damaged compression": (Message(headers(compression="application/x-gzip"), {}, GOOD_BODY), ""),
    "name that is no text": (Message({"task": {"odd": 1}, "id": "bad-1"}, {}, GOOD_BODY), "task"),
    "limits that are no numbers": (Message(headers(timelimit=[[], {}]), {}, GOOD_BODY), "timelimit"),
    "eta that is no date": (Message(headers(eta="soon"), {}, GOOD_BODY), "soon"),
    "expires that is no date": (Message(headers(expires="never"), {}, GOOD_BODY), "never"),
}


def dead_letters(bench: Bench) -> list[DeadLetter]:
    return asyncio.run(bench.tasks.app.broker.dead_letters())


def test_messages_that_can_not_be_run_are_kept_with_the_reason(bench: Bench) -> None:
    worker = bench.start("-c", "1")
    publications = [Publication(message, "celery") for message, _ in BAD.values()]
    bench.tasks.app.broker.publish(publications)
    after = bench.tasks.add.delay(1, 1)
    assert after.get(timeout=DEADLINE) == 2
    letters = wait_until(lambda: len(found := dead_letters(bench)) == len(BAD) and found, f"all kept: {worker.log}")
    letters.reverse()  # oldest first
    for (name, (_message, words)), letter in zip(BAD.items(), letters, strict=True):
        assert letter.reason, name
        assert words in letter.reason, (name, letter.reason)
    wait_until(lambda: worker.log.count("is now a dead letter") == len(BAD), "a line for each")
    assert "Traceback" not in worker.log


def test_an_unknown_task_fails_for_its_caller(bench: Bench) -> None:
    bench.start("-c", "1")
    result = bench.tasks.app.send_task("worker_app.ad", (1, 2))
    with pytest.raises(NotRegistered, match=r"worker_app\.ad"):
        result.get(timeout=DEADLINE)


def test_wrong_arguments_fail_for_the_caller(bench: Bench) -> None:
    bench.start("-c", "1")
    result = bench.tasks.app.send_task("worker_app.add", (1, 2, 3))
    with pytest.raises(TypeError):
        result.get(timeout=DEADLINE)


def test_an_expired_task_is_revoked(bench: Bench) -> None:
    expired = bench.tasks.noted.apply_async(("expired",), expires=-1)
    worker = bench.start("-c", "1")
    with pytest.raises(TaskRevokedError, match="expired"):
        expired.get(timeout=DEADLINE)
    assert expired.state == states.REVOKED
    assert "Discarding expired task" in worker.log
    assert bench.count("ran-expired") == 0


def test_an_expired_message_with_odd_headers_harms_nothing(bench: Bench) -> None:
    odd = Message({"task": {"odd": 1}, "id": ["x"], "expires": "2000-01-01T00:00:00Z"}, {}, GOOD_BODY)
    bench.tasks.app.broker.publish([Publication(odd, "celery")])
    bench.start("-c", "1")
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    wait_until(lambda: asyncio.run(bench.tasks.app.broker.depth("celery")) == 0, "an empty queue")
