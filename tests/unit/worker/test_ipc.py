"""Frames survive any way of being cut up, and both ends notice when the other is gone."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.message import Message, PackedMessage, Publication
from celeriac.outcome import Failed, Lost, Outcome, ResultRecord, Retried, Succeeded
from celeriac.worker.ipc import (
    FROM_EXECUTOR,
    TO_EXECUTOR,
    AsyncChannel,
    BlockingChannel,
    Done,
    FrameSplitter,
    FromExecutor,
    Interrupt,
    PackedJob,
    Ready,
    Returned,
    Run,
    Stop,
    TakeBack,
    ToExecutor,
    encode_frame,
)

MESSAGE = Message({"task": "t", "id": "1", "retries": 0}, {"priority": 0}, b"[[1], {}, {}]")
PACKED = PackedMessage.pack(MESSAGE)
ORDERS: list[ToExecutor] = [
    Run((PackedJob(1, PACKED, "celery"), PackedJob(2, PACKED, "other", losses=2, time_limit=1.5))),
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
    assert splitter.feed(encode_frame(Done(1, outcome, 0.25))) == [Done(1, outcome, 0.25)]


def test_a_frame_of_the_wrong_side_is_refused() -> None:
    splitter: FrameSplitter[FromExecutor] = FrameSplitter(FROM_EXECUTOR)
    with pytest.raises(msgspec.ValidationError):
        splitter.feed(encode_frame(Stop()))


def test_a_job_is_unpacked_as_it_was_sent() -> None:
    job = PackedJob(1, PACKED, "celery", 2, 1.5, 1.0, True, 4).unpack()
    assert (job.message, job.losses, job.time_limit, job.soft_time_limit) == (MESSAGE, 2, 1.5, 1.0)
    assert (job.announce, job.priority) == (True, 4)


def test_both_ends_talk_and_notice_the_end() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        heard: list[FromExecutor] = []
        complete = asyncio.Event()

        def on_frames(frames: list[FromExecutor]) -> bool:
            heard.extend(frames)
            if len(heard) == 2:
                complete.set()
            return False

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


def test_what_was_sent_before_a_death_is_heard_though_a_write_fails_first() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        heard: list[FromExecutor] = []
        lost = asyncio.Event()

        def on_frames(frames: list[FromExecutor]) -> bool:
            heard.extend(frames)
            return True

        channel = await AsyncChannel.connect(ours, FROM_EXECUTOR, on_frames, lost.set)
        theirs.sendall(encode_frame(Ready(1)) + encode_frame(Done(7, OUTCOMES[0], 0.1)))
        theirs.close()
        channel.send(TakeBack())  # fails, before the loop has had a chance to read
        await asyncio.wait_for(lost.wait(), 5)
        assert heard == [Ready(1), Done(7, OUTCOMES[0], 0.1)]

    asyncio.run(main())
