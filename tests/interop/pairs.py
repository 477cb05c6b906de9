"""Both sides on one transport, and the two directions between them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import pytest

from interop.journal import DEADLINE
from interop.seen import Seen
from interop.sides import CeleriacClient, CeleryClient, Client, Place, SideName, Worker

#: For tests that are about what only one of the brokers has.
ON_REDIS: Final = pytest.mark.parametrize("pair", ["redis"], indirect=True)
EVERYWHERE: Final = pytest.mark.parametrize("pair", ["redis", "classic", "quorum"], indirect=True)
ON_RABBITMQ: Final = pytest.mark.parametrize("pair", ["classic", "quorum"], indirect=True)


class Pair(NamedTuple):
    """Clients and workers of both sides in one place.

    Queues: `celery` and `celeriac` have a worker of that side only, `shared` has both.
    """

    place: Place
    clients: Mapping[SideName, Client]
    workers: Mapping[SideName, Worker]
    celery: CeleryClient
    celeriac: CeleriacClient

    def both(self, task_id: str) -> Seen:
        """Wait for a result on both sides; they must see the same."""
        by_celery, by_celeriac = (self._get(side, task_id) for side in ("celery", "celeriac"))
        assert by_celeriac == by_celery
        return by_celery

    def wait_state(self, side: SideName, task_id: str, state: str) -> Seen:
        """Look until a result is in this state, on one side; what is seen then."""
        client = self.clients[side]
        wait_until(lambda: client.look(task_id).state == state, f"the state {state} of {task_id} for {side}")
        return client.look(task_id)  # again: what a client shows of a task that is not done, it reads piece by piece

    def _get(self, side: SideName, task_id: str) -> Seen:
        try:
            return self.clients[side].get(task_id)
        except (AssertionError, TimeoutError) as error:
            logs = "\n".join(f"-- {name}\n{worker.log[-3000:]}" for name, worker in self.workers.items())
            raise AssertionError(f"{side} does not get the result of {task_id}: {error}\n{logs}") from error


class Direction(NamedTuple):
    """From a producer of one side to a worker of the other."""

    pair: Pair
    producer: SideName
    worker: SideName

    def send(self, name: str, *args: Any, **options: Any) -> str:
        """Send to the worker's queue; the id."""
        return self.pair.clients[self.producer].send(name, *args, **{"queue": self.worker, **options})

    def run(self, name: str, *args: Any, **options: Any) -> Seen:
        """Send and wait for the result, on both sides."""
        return self.pair.both(self.send(name, *args, **options))

    def succeed(self, name: str, *args: Any, **options: Any) -> Any:
        """Send and wait; what the task returned."""
        seen = self.run(name, *args, **options)
        assert seen.state == "SUCCESS", seen
        return seen.value


def signature(task: str, *args: Any, **options: Any) -> dict[str, Any]:
    """A signature as it travels, for links."""
    kwargs = options.pop("kwargs", {})
    immutable = options.pop("immutable", False)
    data = {"task": task, "args": list(args), "kwargs": kwargs, "options": options}
    return {**data, "subtask_type": None, "immutable": immutable}


@contextlib.contextmanager
def run_pair(place: Place, *celery_options: str) -> Iterator[Pair]:
    """Start both sides at the same time."""
    with place.celery() as celery, place.celeriac() as celeriac, contextlib.ExitStack() as stack:
        workers: dict[SideName, Worker] = {
            "celery": place.start("celery", ("celery", "shared"), *(celery_options or ("-c", "2"))),
            "celeriac": place.start("celeriac", ("celeriac", "shared"), "-c", "2"),
        }
        for worker in workers.values():
            stack.callback(worker.stop)
        for worker in workers.values():
            worker.wait_ready()
        yield Pair(place, {"celery": celery, "celeriac": celeriac}, workers, celery, celeriac)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Ask until it is so."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        time.sleep(0.01)
