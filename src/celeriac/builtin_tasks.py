"""The tasks that workflows are made of beside the user's own, by the names under which Celery's workers know them.

Owns them. Every app has them. Those that stand for a whole workflow (`celery.group`, `celery.chord`, ...) are seldom
sent: whoever sends a workflow sends its tasks.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

from celeriac.canvas import Signature, chord, chunks, group
from celeriac.canvas.signature import as_signature
from celeriac.exceptions import NotSupported
from celeriac.loops import run_to_end
from celeriac.task import Task


class Map(Task[..., list[Any]]):
    """Calls a task for each item."""

    name = "celery.map"

    def run(self, task: Mapping[str, Any], it: Iterable[Any]) -> list[Any]:
        """Call it.

        Args:
            task: its signature; arguments in it are not used.
            it: the items.

        Returns:
            What each call returned.
        """
        called = Signature.from_dict(task, self.app).type
        return _all_of([called(item) for item in it])


class Starmap(Task[..., list[Any]]):
    """Calls a task for each list of arguments."""

    name = "celery.starmap"

    def run(self, task: Mapping[str, Any], it: Iterable[Sequence[Any]]) -> list[Any]:
        """Call it. See `Map.run`."""
        called = Signature.from_dict(task, self.app).type
        return _all_of([called(*arguments) for arguments in it])


def _all_of(values: list[Any]) -> list[Any]:
    """The values; those of an `async def` are waited for, one after the other."""
    if not any(isinstance(value, Coroutine) for value in values):
        return values

    async def awaited() -> list[Any]:
        return [await value if isinstance(value, Coroutine) else value for value in values]

    return run_to_end(awaited())


class Accumulate(Task[..., Any]):
    """Hands on what it is given: the body of a chord that is made of a group, so that its list is somebody's result."""

    name = "celery.accumulate"

    def run(self, *args: Any, index: int | None = None, **kwargs: Any) -> Any:
        """Return the arguments, or the one at `index`."""
        del kwargs
        return args if index is None else args[index]


class Chunks(Task[..., Any]):
    """Sends a group of `celery.starmap`, with `n` calls in each."""

    name = "celery.chunks"

    def run(self, task: Mapping[str, Any], it: Iterable[Any], n: int) -> Any:
        """Send it. Returns its result as a tuple: it is among the children, too."""
        return chunks(as_signature(task, self.app), it, n, app=self.app).apply_async().as_tuple()


class Group(Task[..., Any]):
    """Sends a group."""

    name = "celery.group"

    def run(
        self,
        tasks: Sequence[Mapping[str, Any]],
        result: Any = None,
        group_id: str | None = None,
        partial_args: Sequence[Any] = (),
        add_to_parent: bool = True,
    ) -> Any:
        """Send it. Returns its result as a tuple.

        Args:
            tasks: its members.
            result: accepted for Celery's sake.
            group_id: its id.
            partial_args: go in front of the arguments of each member.
            add_to_parent: note it among the children.
        """
        del result
        members = group(list(tasks), app=self.app)
        return members.apply_async(partial_args, task_id=group_id, add_to_parent=add_to_parent).as_tuple()


class Chain(Task[..., Any]):
    """Not a task: a chain has nothing that could be run by this name."""

    name = "celery.chain"

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse.

        Raises:
            NotSupported: always.
        """
        del args, kwargs
        raise NotSupported("a chain is no task: send it by chain(...).apply_async(), which sends its first task")


class Chord(Task[..., Any]):
    """Sends a chord."""

    name = "celery.chord"

    def run(
        self, header: Any, body: Mapping[str, Any], partial_args: Sequence[Any] = (), kwargs: Any = None, **more: Any
    ) -> Any:
        """Send it. Returns its result as a tuple.

        Args:
            header: its header: a group, or a list of signatures.
            body: its body.
            partial_args: go in front of the arguments of each task of the header.
            kwargs: keyword arguments for each of them.
            **more: how Celery's workers poll for the header, which nobody does here.
        """
        del more
        return chord(header, body, app=self.app).apply_async(partial_args, kwargs).as_tuple()


BUILTIN_TASKS: Final[tuple[type[Task[..., Any]], ...]] = (Map, Starmap, Accumulate, Chunks, Group, Chain, Chord)
