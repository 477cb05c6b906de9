"""A worker in the test's own process, the journal of its tasks, and what a result shows, in the words of the model."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from celeriac import Celeriac, Signature, chain, chord, group
from celeriac.worker.options import WorkerOptions
from celeriac.worker.worker import Worker
from integration.workflows import flow_tasks, seeing_tasks
from integration.workflows.model import Expected, expect
from integration.workflows.sights import agrees, seen_of
from integration.workflows.trees import Node, Words, build

#: Seconds that one workflow may take.
DEADLINE: Final = 15.0
#: What the worker takes from.
QUEUES: Final = ("celery", "other")


class Journal:
    """What tasks have noted, by run."""

    def __init__(self) -> None:
        self._notes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._changed = threading.Condition()

    def note(self, run: str, text: str) -> None:
        """Called by tasks."""
        with self._changed:
            self._notes[run][text] += 1
            self._changed.notify_all()

    def seen(self, run: str) -> Counter[str]:
        """All of a run until now."""
        with self._changed:
            return self._notes[run].copy()

    def wait(self, run: str, wanted: Counter[str], timeout: float = DEADLINE) -> Counter[str]:
        """Wait until a run has noted all that is wanted; what it has noted, also if that is not so in time."""
        with self._changed:
            self._changed.wait_for(lambda: wanted <= self._notes[run], timeout)
            return self._notes[run].copy()


class Site:
    """An app, a worker that runs its tasks, and their journal.

    Attributes:
        app: has all the tasks of `flow_tasks`, and `idle`, which does nothing.
        journal: theirs.
        words: to build trees with.
    """

    def __init__(self, app: Celeriac) -> None:
        self.app = app
        self.journal = Journal()
        self.words = Words(app, chain, group, chord)
        untyped: Any = app  # its options have closer types than those that both sides share
        flow_tasks.declare(untyped, self.journal.note, self.words)
        flow_tasks.declare_async(untyped, self.journal.note)
        seeing_tasks.declare(app)
        self._idle = app.task(name="idle")(_idle)

    def s(self, name: str, *args: Any, **options: Any) -> Signature[Any]:
        """A signature of one of the tasks."""
        return self.app.signature(name, args, **options)

    def build(self, tree: Node, run: str = "") -> Any:
        """The signature of a tree."""
        return build(tree, self.words, run)

    def check(self, tree: Node, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> None:
        """Run a tree; all that it does must be what the model says, within the deadline."""
        run = uuid.uuid4().hex
        expected = expect(tree, args, kwargs)
        result = self.build(tree, run).apply_async(args, kwargs)
        self.compare(run, result, expected)

    def compare(self, run: str, result: Any, expected: Expected) -> None:
        """What has come of a run must be what was expected."""
        noted = self.journal.wait(run, expected.notes)
        assert noted == expected.notes, f"not run: {expected.notes - noted}; run for nothing: {noted - expected.notes}"
        end = time.monotonic() + DEADLINE
        came = seen_of(result, end)
        assert agrees(came, expected.ending), f"came to {came}, not to {expected.ending}"
        self.wait_idle()
        noted = self.journal.seen(run)
        assert noted == expected.notes, f"run after the end: {noted - expected.notes}"

    def wait_idle(self) -> None:
        """Wait until all has run that was waiting, and what came of that."""
        for _ in range(2):
            self._idle.delay().get(timeout=DEADLINE)


def _idle() -> None:
    """What was published before it has been taken when it is."""


@contextmanager
def running(broker: str, backend: str | None = None, **settings: Any) -> Iterator[Site]:
    """An app on these stores, and a worker in a thread for as long as the block lasts."""
    changes = {"broker_url": broker, **({} if backend is None else {"result_backend": backend}), **settings}
    with Celeriac("flow", set_as_current=False, changes=changes) as app:
        site = Site(app)
        worker = Worker(app, WorkerOptions.from_app(app, pool="solo", queues=QUEUES))
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(worker.run()), name="worker")
        thread.start()
        try:
            yield site
        finally:
            worker.stop()
            thread.join(DEADLINE)
            assert codes == [0], "the worker has not ended well"
