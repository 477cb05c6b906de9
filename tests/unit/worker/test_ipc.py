"""Frames survive any way of being cut up, and both ends notice when the other is gone."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.attempt import Job
from celeriac.message import Message, Publication
from celeriac.outcome import Failed, Lost, Outcome, ResultRecord, Retried, Succeeded
from celeriac.worker.ipc import (
    FROM_EXECUTOR,
    TO_EXECUTOR,
    AsyncChannel,
    BlockingChannel,
    Done,
    Finished,
    FrameSplitter,
    FromExecutor,
    Interrupt,
    Ready,
    Returned,
    Run,
    Stop,
    TakeBack,
    ToExecutor,
    encode_frame,
)

MESSAGE = Message({"task": "t", "id": "1", "retries": 0}, {"priority": 0}, b"[[1], {}, {}]")
ORDERS: list[ToExecutor] = [
    Run((Job(1, MESSAGE, "celery"), Job(2, MESSAGE, "other", losses=2, time_limit=1.5))),
    TakeBack(),
    Interrupt(2, hard=False, limit=1.0),
    Stop(),
]
OUTCOMES: list[Outcome] = [
    Succeeded(ResultRecord("1", "SUCCESS", b'{"result": 3}', 60.0), (Publication(MESSAGE, "celery"),)),
    Failed("ValueError()"),
    Retried(MESSAGE, 12.5, "again"),
    Lost("killed", "w1"),
]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_frames_are_found_however_the_stream_is_cut(cuts: list[int]) -> None:
    stream = b"".join(encode_frame(order) for order in ORDERS)
    splitter: FrameSplitter[ToExecutor] = FrameSplitter(TO_EXECUTOR)
    found: list[ToExecutor] = []
    for cut in cuts:
        piece, stream = stream[:cut], stream[cut:]
        found += splitter.feed(piece)
    found += splitter.feed(stream)
    assert found == ORDERS


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_every_outcome_crosses(outcome: Outcome) -> None:
    splitter: FrameSplitter[FromExecutor] = FrameSplitter(FROM_EXECUTOR)
    assert splitter.feed(encode_frame(Done((Finished(1, outcome, 0.25),)))) == [Done((Finished(1, outcome, 0.25),))]


def test_a_frame_of_the_wrong_side_is_refused() -> None:
    splitter: FrameSplitter[FromExecutor] = FrameSplitter(FROM_EXECUTOR)
    with pytest.raises(msgspec.ValidationError):
        splitter.feed(encode_frame(Stop()))


def test_a_header_that_msgpack_does_not_know_becomes_text() -> None:
    odd = Message({"task": "t", "id": "1", "tenant": 3 + 4j}, {}, b"")
    splitter: FrameSplitter[ToExecutor] = FrameSplitter(TO_EXECUTOR)
    (run,) = splitter.feed(encode_frame(Run((Job(1, odd, "celery"),))))
    assert isinstance(run, Run)
    assert run.jobs[0].message.headers["tenant"] == "(3+4j)"


def test_both_ends_talk_and_notice_the_end() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        heard: list[FromExecutor] = []
        complete = asyncio.Event()

        def on_frames(frames: list[FromExecutor]) -> None:
            heard.extend(frames)
            if len(heard) == 2:
                complete.set()

        lost = asyncio.Event()
        channel = await AsyncChannel.connect(ours, FROM_EXECUTOR, on_frames, lost.set)
        other: BlockingChannel[ToExecutor] = BlockingChannel(theirs, TO_EXECUTOR)
        channel.send(TakeBack())
        assert await asyncio.to_thread(other.receive) == [TakeBack()]
        assert other.send(Ready(4711))
        assert other.send(Returned((1, 2)))
        await asyncio.wait_for(complete.wait(), 5)
        assert heard == [Ready(4711), Returned((1, 2))]
        other.close()
        await asyncio.wait_for(lost.wait(), 5)
        channel.send(Stop())  # nobody is there any more: not an error

    asyncio.run(main())


def test_an_executor_sees_that_its_supervisor_is_gone() -> None:
    ours, theirs = socket.socketpair()
    channel: BlockingChannel[ToExecutor] = BlockingChannel(theirs, TO_EXECUTOR)
    ours.close()
    assert channel.receive() is None
    assert channel.send(Ready(1)) is False
    channel.close()
