"""The thread that runs blocking calls for event loops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from celeriac.storage.runner import ThreadRunner


def test_calls_run_in_order_in_one_thread_of_their_own() -> None:
    runner, seen = ThreadRunner("test"), []

    async def main() -> None:
        await asyncio.gather(*(runner.run(lambda n=n: seen.append((n, threading.get_ident()))) for n in range(50)))  # type: ignore[misc]

    asyncio.run(main())
    asyncio.run(main())
    runner.stop()
    assert [n for n, _ in seen] == [*range(50), *range(50)]
    assert len({thread for _, thread in seen}) == 1
    assert threading.get_ident() not in {thread for _, thread in seen}


def test_errors_come_to_the_caller() -> None:
    runner = ThreadRunner("test")

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await runner.run(lambda: 1 // 0)
        assert await runner.run(lambda: 2) == 2

    asyncio.run(main())
    runner.stop()


def test_a_call_is_made_also_when_its_caller_is_gone() -> None:
    runner, made = ThreadRunner("test"), threading.Event()

    async def main() -> None:
        runner.run(made.set).cancel()

    asyncio.run(main())
    assert made.wait(5)
    runner.stop()


def test_a_loop_that_is_closed_meanwhile_harms_nobody() -> None:
    runner, hold = ThreadRunner("test"), threading.Event()

    async def leave() -> None:
        runner.run(hold.wait)

    async def come() -> int:
        return await runner.run(lambda: 3)

    asyncio.run(leave())
    hold.set()
    assert asyncio.run(come()) == 3
    runner.stop()


def test_stopping_lets_the_thread_end_and_the_next_call_starts_another() -> None:
    runner = ThreadRunner("test")

    async def thread() -> threading.Thread:
        return await runner.run(threading.current_thread)

    first = asyncio.run(thread())
    runner.stop()
    first.join(5)
    assert not first.is_alive()
    assert asyncio.run(thread()) is not first
    runner.stop()
    runner.stop()


def test_a_runner_that_is_forgotten_takes_its_thread_along() -> None:
    async def thread() -> threading.Thread:
        return await ThreadRunner("test").run(threading.current_thread)

    worker = asyncio.run(thread())
    worker.join(5)
    assert not worker.is_alive()
