"""The whole contract of a result backend."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

import pytest

from celeriac.exceptions import NotSupported
from celeriac.outcome import ResultRecord
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.chords import BackendChordCases
from celeriac.testing.conformance.support import (
    PATIENCE,
    ROUNDS,
    Bells,
    Crew,
    Harness,
    MakeBackend,
    failure,
    in_loop,
    is_stored,
    state,
    success,
)


class StoringCases(Harness):
    """Storing, loading, forgetting, expiring."""

    def test_what_is_stored_is_loaded(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        raw = state("a", "SUCCESS", "\u00fc" * 100, compression="gzip")  # with NULs, and bytes that are no text
        records = [raw, failure("b", ""), state("c", "PROGRESS-\u00fc", "x" * 1_000_000)]
        backend.store(records)
        assert [backend.load(record.task_id) for record in records] == records
        assert make_backend().load("a") == records[0]
        assert backend.load("unknown") is None

    @in_loop
    async def test_the_same_for_asyncio(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        await backend.astore([success("a"), success("\u00fc'; --")])
        assert await backend.aload("a") == success("a")
        assert await backend.aload("\u00fc'; --") == success("\u00fc'; --")
        assert await backend.aload("b") is None
        await backend.aforget("a")
        await backend.aforget("a")
        assert await backend.aload("a") is None

    def test_later_states_replace_earlier_ones(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        for status in ("STARTED", "RETRY", "FAILURE", "STARTED", "SUCCESS"):
            backend.store([state("a", status)])
            assert backend.load("a") == state("a", status)

    def test_success_is_final(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        backend.store([success("a", "first")])
        backend.store([failure("a"), success("a", "second"), success("b")])
        assert backend.load("a") == success("a", "first")
        assert backend.load("b") == success("b")

    def test_success_is_final_also_when_it_is_compressed(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        first = state("a", "SUCCESS", "first" * 100, compression="gzip")
        started = state("b", "STARTED", "first" * 100, compression="gzip")
        backend.store([first, started])
        backend.store([failure("a"), failure("b")])
        assert backend.load("a") == first
        assert backend.load("b") == failure("b")

    def test_forget(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        backend.store([success("a"), success("b")])
        backend.forget("a")
        backend.forget("a")
        assert backend.load("a") is None
        assert backend.load("b") is not None
        backend.store([failure("a")])
        assert backend.load("a") == failure("a")

    def test_many_are_loaded_together(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        backend.store([success(f"t{n}", str(n)) for n in range(1200)] + [failure("f"), state("s", "STARTED")])
        wanted = [f"t{n}" for n in range(1200)]
        found = {record.task_id: record for record in backend.load_many([*wanted, "unknown", "f", "s", "t0"])}
        assert len(found) == 1202
        assert [found[f"t{n}"].meta for n in range(1200)] == [success(f"t{n}", str(n)).meta for n in range(1200)]
        assert (found["f"].status, found["s"].status) == ("FAILURE", "STARTED")
        assert len(backend.load_many(["t1", "t1"])) == 1
        assert backend.load_many([]) == []

    @in_loop
    async def test_many_are_loaded_together_for_asyncio(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        await backend.astore([success("a"), failure("b")])
        found = sorted(await backend.aload_many(["b", "unknown", "a"]), key=lambda record: record.task_id)
        assert [(record.task_id, record.status) for record in found] == [("a", "SUCCESS"), ("b", "FAILURE")]
        assert await backend.aload_many([]) == []

    @in_loop
    async def test_many_are_forgotten_together(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        backend.store([success(f"t{n}") for n in range(1200)] + [success("kept")])
        backend.forget_many([])
        backend.forget_many([f"t{n}" for n in range(600)])
        await backend.aforget_many([f"t{n}" for n in range(500, 1200)] + ["unknown"])
        left = await backend.aload_many([f"t{n}" for n in range(1200)] + ["kept"])
        assert [record.task_id for record in left] == ["kept"]

    def test_nothing_to_store(self, make_backend: MakeBackend) -> None:
        make_backend().store([])

    def test_results_expire(self, make_backend: MakeBackend, clock: VirtualClock) -> None:
        if self.keeps_no_time:
            pytest.skip(self.keeps_no_time)
        backend = make_backend()
        backend.store([success("short", ttl=60.0), success("long", ttl=600.0), success("kept")])
        clock.advance(59)
        assert is_stored(backend.load("short"), success("short", ttl=1.0), max(self.ttl_tolerance, 1e-6))
        clock.advance(1)
        assert backend.load("short") is None
        assert backend.load("long") is not None
        backend.store([failure("short")])
        assert backend.load("short") == failure("short")

    @in_loop
    async def test_sweeping_deletes_what_has_expired_in_bounded_steps(
        self, make_backend: MakeBackend, clock: VirtualClock
    ) -> None:
        if self.keeps_no_time:
            pytest.skip(self.keeps_no_time)
        backend = make_backend()
        backend.store([success(f"s{n}", ttl=60.0) for n in range(3000)])
        backend.store([success("kept"), success("long", ttl=600.0)])
        assert await backend.sweep() == 0
        clock.advance(60)
        swept = []
        while count := await backend.sweep():
            swept.append(count)
        if self.expires_by_itself:
            assert swept == []
            assert not any([await backend.aload(f"s{n}") for n in range(3000)])
        else:
            assert sum(swept) == 3000
            assert len(swept) > 1
        assert backend.load("kept") is not None
        assert backend.load("long") is not None

    def test_usable_after_disconnect(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        if not self.goes_with_connection:
            backend.store([success("a")])
        backend.disconnect()
        backend.disconnect()
        if self.goes_with_connection:
            backend.store([success("a")])
        assert backend.load("a") == success("a")


class SyncWaitCases(Harness):
    """`wait_ready`."""

    def test_a_ready_result_is_returned_at_once(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        backend.store([failure("a")])
        assert backend.wait_ready("a", PATIENCE) == failure("a")
        assert backend.wait_ready("a", 0) == failure("a")

    def test_time_runs_out(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        backend.store([state("a", "STARTED")])
        started = time.monotonic()
        assert backend.wait_ready("a", 0.05) is None
        assert backend.wait_ready("unknown", 0.05) is None
        assert time.monotonic() - started >= 0.09
        assert backend.wait_ready("unknown", 0) is None

    def test_waiters_are_woken_and_do_not_poll(self, make_backend: MakeBackend) -> None:
        backend, bells = make_backend(), Bells(make_backend().store)
        for n in range(ROUNDS):
            bells.ring_soon([success(str(n))])
            assert backend.wait_ready(str(n), PATIENCE) == success(str(n))
            bells.heard()
        bells.check()

    def test_an_unfinished_state_wakes_nobody_for_good(self, make_backend: MakeBackend) -> None:
        backend, crew = make_backend(), Crew()

        def write() -> None:
            backend.store([state("a", "STARTED")])
            backend.store([state("a", "RETRY")])
            backend.store([success("a")])

        crew.start(write)
        assert backend.wait_ready("a", PATIENCE) == success("a")
        crew.join()

    def test_many_threads_wait(self, make_backend: MakeBackend) -> None:
        backend, crew, ready = make_backend(), Crew(), threading.Barrier(31)

        def wait(n: int) -> None:
            ready.wait(PATIENCE)
            assert backend.wait_ready(f"t{n % 10}", PATIENCE) == success(f"t{n % 10}")

        for n in range(30):
            crew.start(partial(wait, n))
        ready.wait(PATIENCE)
        backend.store([success(f"t{n}") for n in range(10)])
        crew.join()


class AsyncWaitCases(Harness):
    """`await_ready`."""

    @in_loop
    async def test_a_ready_result_is_returned_at_once_for_asyncio(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        backend.store([success("a")])
        assert await backend.await_ready("a", PATIENCE) == success("a")
        assert await backend.await_ready("a", 0) == success("a")

    @in_loop
    async def test_time_runs_out_for_asyncio(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        assert await backend.await_ready("a", 0.05) is None
        assert await backend.await_ready("a", 0) is None

    @in_loop
    async def test_waiters_are_woken_and_do_not_poll_for_asyncio(self, make_backend: MakeBackend) -> None:
        backend, bells = make_backend(), Bells(make_backend().store)
        for n in range(ROUNDS):
            bells.ring_soon([success(str(n))])
            assert await backend.await_ready(str(n), PATIENCE) == success(str(n))
            bells.heard()
        bells.check()

    @in_loop
    async def test_thousands_wait_at_once(self, make_backend: MakeBackend) -> None:
        backend, writer = make_backend(), make_backend()
        waiting = [asyncio.create_task(backend.await_ready(f"t{n}", PATIENCE)) for n in range(3000)]
        await asyncio.sleep(0.05)
        for start in range(0, 3000, 500):
            await writer.astore([success(f"t{n}") for n in range(start, start + 500)])
        records = await asyncio.gather(*waiting)
        assert records == [success(f"t{n}") for n in range(3000)]

    @in_loop
    async def test_several_wait_for_one(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        waiting = [asyncio.create_task(backend.await_ready("a", PATIENCE)) for _ in range(10)]
        hasty = asyncio.create_task(backend.await_ready("a", 0.01))
        assert await hasty is None
        waiting[0].cancel()
        await backend.astore([success("a")])
        assert await asyncio.gather(*waiting[1:]) == [success("a")] * 9

    @in_loop
    async def test_coming_back_after_giving_up(self, make_backend: MakeBackend) -> None:
        backend = make_backend()
        for _ in range(5):
            assert await backend.await_ready("a", 0.005) is None
        waiting = asyncio.create_task(backend.await_ready("a", PATIENCE))
        await asyncio.sleep(0.01)
        make_backend().store([success("a")])
        assert await waiting == success("a")

    def test_from_one_loop_after_another(self, make_backend: MakeBackend) -> None:
        backend = make_backend()

        async def wait(task_id: str) -> ResultRecord | None:
            waiting = asyncio.create_task(backend.await_ready(task_id, PATIENCE))
            await asyncio.sleep(0.01)
            await backend.astore([success(task_id)])
            return await waiting

        for n in range(3):
            assert asyncio.run(wait(str(n))) == success(str(n))

    def test_loops_in_several_threads(self, make_backend: MakeBackend) -> None:
        backend, crew, ready = make_backend(), Crew(), threading.Barrier(5)

        async def wait() -> None:
            waiting = asyncio.create_task(backend.await_ready("a", PATIENCE))
            await asyncio.sleep(0.01)
            ready.wait(PATIENCE)
            assert await waiting == success("a")

        for _ in range(4):
            crew.start(lambda: asyncio.run(wait()))
        ready.wait(PATIENCE)
        backend.store([success("a")])
        crew.join()


class GroupCases(Harness):
    """The members of groups are kept."""

    @pytest.fixture
    def make_keeper(self, make_backend: MakeBackend) -> MakeBackend:
        """Makes backends, where groups can be saved."""
        if self.keeps_no_groups:
            pytest.skip(self.keeps_no_groups)
        return make_backend

    def test_a_saved_group_is_loaded_until_it_is_forgotten(self, make_keeper: MakeBackend) -> None:
        backend, meta = make_keeper(), b'{"result": [["g", null], []]}'
        backend.save_group("g", b"first", None)
        backend.save_group("g", meta, 60.0)
        backend.save_group("\u00fc'; --", b"\x00\xff" * 100_000, None)
        assert make_keeper().load_group("g") == meta
        assert backend.load_group("\u00fc'; --") == b"\x00\xff" * 100_000
        assert backend.load_group("unknown") is None
        backend.forget_group("g")
        backend.forget_group("g")
        assert backend.load_group("g") is None
        assert backend.load_group("\u00fc'; --") is not None

    @in_loop
    async def test_the_same_for_groups_in_asyncio(self, make_keeper: MakeBackend) -> None:
        backend = make_keeper()
        await backend.asave_group("g", b"members", None)
        assert await backend.aload_group("g") == b"members"
        await backend.aforget_group("g")
        await backend.aforget_group("g")
        assert await backend.aload_group("g") is None

    def test_a_group_is_no_result_of_a_task(self, make_keeper: MakeBackend) -> None:
        backend = make_keeper()
        backend.save_group("same", b"members", None)
        assert backend.load("same") is None
        backend.store([success("same")])
        backend.forget_group("same")
        assert backend.load("same") == success("same")

    @in_loop
    async def test_groups_expire_and_are_swept(self, make_keeper: MakeBackend, clock: VirtualClock) -> None:
        backend = make_keeper()
        for n in range(3):
            backend.save_group(f"g{n}", b"members", 60.0)
        backend.save_group("kept", b"members", None)
        backend.save_group("g2", b"members", 600.0)
        clock.advance(61)
        assert [backend.load_group(f"g{n}") for n in range(3)] == [None, None, b"members"]
        assert await backend.sweep() == (0 if self.expires_by_itself else 2)
        assert await backend.sweep() == 0
        assert backend.load_group("kept") == backend.load_group("g2") == b"members"
        backend.save_group("g0", b"again", 60.0)
        assert backend.load_group("g0") == b"again"

    def test_who_keeps_no_groups_says_so(self, make_backend: MakeBackend) -> None:
        if not self.keeps_no_groups:
            pytest.skip("groups can be saved")
        backend = make_backend()
        with pytest.raises(NotSupported):
            backend.save_group("g", b"members", None)


class BackendConformance(StoringCases, SyncWaitCases, AsyncWaitCases, GroupCases, BackendChordCases):
    """Override the fixture `make_backend`; every test starts with an empty store."""
