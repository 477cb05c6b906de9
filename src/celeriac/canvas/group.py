"""Groups: tasks that run side by side.

Owns the class. Knows nothing of chains and chords.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from celeriac.canvas.members import LazyMembers
from celeriac.canvas.running import Run, arun, run, run_group
from celeriac.canvas.shortening import shortened
from celeriac.canvas.signature import Signature, as_signature, given
from celeriac.canvas.stamping import StampingVisitor, merged_stamps
from celeriac.canvas.workflow import Workflow
from celeriac.group_result import GroupResult

if TYPE_CHECKING:
    from typing import Self

    from celeriac.app import Celeriac
    from celeriac.result import AnyResult

_NO_LINK = "a group has no single end to link to: use a chord, chord(group, callback)"
_NO_ERRBACK = "link_error= of a group would be ambiguous: give it to the members, group.link_error(errback)"


@Signature.register_type()
class group(Workflow[list[Any]]):  # noqa: N801 - Celery's name
    """Tasks that run side by side. What it comes to is the list of their results, in its order.

    Args:
        *tasks: the signatures; a single argument may be a list or generator of them. A generator is read when the
            group is sent, and only once.
        app: the app that sends it; by default that of the first task.
        **options: call options of all of them.

    Example:
        >>> from celeriac import Celeriac, group
        >>> app = Celeriac("doc", broker="memory://", task_always_eager=True)
        >>> @app.task(name="doc.square")
        ... def square(x: int) -> int:
        ...     return x * x
        >>> group(square.s(number) for number in range(4))().get()
        [0, 1, 4, 9]
    """

    def __init__(self, *tasks: Any, app: Celeriac | None = None, **options: Any) -> None:
        self.begin("celery.group", "group", {"tasks": _members(tasks, app)}, options, app)

    def adopt_parts(self) -> None:
        kwargs = self["kwargs"] = dict(self.kwargs)
        kwargs["tasks"] = [as_signature(task, self._app) for task in kwargs.get("tasks") or ()]

    @property
    def tasks(self) -> list[Signature[Any]]:
        """Its members, to be changed in place. A generator is read for it."""
        tasks: list[Signature[Any]] | LazyMembers = self["kwargs"]["tasks"]
        if isinstance(tasks, LazyMembers):
            read = tasks.read()
            tasks = self["kwargs"]["tasks"] = [task.clone() for task in read] if tasks.is_shared else read
        return tasks

    @tasks.setter
    def tasks(self, tasks: Iterable[Any]) -> None:
        self["kwargs"]["tasks"] = [as_signature(task, self._app) for task in tasks]

    @property
    def is_lazy(self) -> bool:
        """It was given a generator, which has not been read."""
        return isinstance(self["kwargs"]["tasks"], LazyMembers)

    @property
    def is_empty(self) -> bool:
        """It has no members. One with a generator that was not read has."""
        return not self.is_lazy and not self.tasks

    def stream(self) -> Iterator[Signature[Any]]:
        """Its members, one after the other; those of a generator are not kept, and can not be had again."""
        tasks = self["kwargs"]["tasks"]
        return tasks.stream() if isinstance(tasks, LazyMembers) else iter(tasks)

    def as_sent(self) -> Mapping[str, Any]:
        """It, or with a generator in place of what is read once: no member stays in memory after it was sent."""
        return {**self, "kwargs": {**self.kwargs, "tasks": self.stream()}} if self.is_lazy else self

    def first_app(self) -> Celeriac | None:
        tasks = self["kwargs"]["tasks"]
        first = tasks.peek() if isinstance(tasks, LazyMembers) else next(iter(tasks), None)
        return first.app_inside() if first is not None else None

    def _copied_kwargs(self) -> dict[str, Any]:
        tasks = self["kwargs"]["tasks"]
        if isinstance(tasks, LazyMembers):
            tasks.is_shared = True
            return dict(self.kwargs)
        return {**self.kwargs, "tasks": [task.clone() for task in tasks]}

    # -- running -------------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:  # what comes of a group is no `AsyncResult`; the code is that of all workflows

        def delay(self, *args: Any, **kwargs: Any) -> GroupResult: ...  # type: ignore[override]
        async def adelay(self, *args: Any, **kwargs: Any) -> GroupResult: ...  # type: ignore[override]
        def apply_async(  # type: ignore[override]
            self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
        ) -> GroupResult: ...
        async def aapply_async(  # type: ignore[override]
            self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
        ) -> GroupResult: ...

    def __call__(self, *args: Any, **options: Any) -> GroupResult:  # type: ignore[override]
        """Send it with more arguments for each member, and options."""
        return self.apply_async(args, **options)

    def check_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, cure in (("link", _NO_LINK), ("link_error", _NO_ERRBACK)):
            if options.get(name):
                raise TypeError(cure)
        return super().check_options(options)

    def apply(  # type: ignore[override]
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> GroupResult:
        """Run its members in place, one after the other. Returns a `GroupResult`."""
        return cast("GroupResult", run(self._run(args, kwargs, options)))

    async def aapply(  # type: ignore[override]
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> GroupResult:
        """`apply` for asyncio."""
        return cast("GroupResult", await arun(self._run(args, kwargs, options)))

    def _run(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Run:
        merged_args, merged_kwargs, merged = self.merged_partials(args, kwargs, given(options))
        return run_group(self.app, self.flattened(), merged_args, merged_kwargs, merged)

    # -- members -------------------------------------------------------------------------------------------------------

    def flattened(self) -> list[Signature[Any]]:
        """Its members, with those of groups inside it in their place. Empty chains are none."""
        flat: list[Signature[Any]] = []
        for task in self.tasks:
            if isinstance(task, group):
                flat += task.flattened()
            elif task.subtask_type != "chain" or task.kwargs["tasks"]:
                flat.append(task)
        return flat

    def freeze(  # type: ignore[override]
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Signature[Any] | None = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> GroupResult:
        """Fix its id and those of its members, which are from now on copies, without groups among them.

        Returns:
            The `GroupResult`, with the result of each member.
        """
        frozen = super().freeze(_id, group_id, chord, root_id, parent_id, group_index)
        members = [task.clone() for task in self.flattened()]
        results: list[AnyResult] = [
            task.freeze(None, group_id, chord, root_id, parent_id, index) for index, task in enumerate(members)
        ]
        self.tasks[:] = members
        return GroupResult(frozen.id, cast("Any", results), app=self.app)

    def set_immutable(self, immutable: bool) -> None:
        """Say whether its members take further arguments."""
        for task in self.tasks:
            task.set_immutable(immutable)

    def link(self, callback: Mapping[str, Any]) -> Mapping[str, Any]:
        """Link an immutable copy of `callback` to the first member, as Celery does. Returns the copy.

        It is sent when that member has succeeded, whatever becomes of the others: use a chord for what shall follow
        all of them.

        Raises:
            TypeError: the group is empty.
        """
        if not self.tasks:
            raise TypeError("an empty group has no member that a callback could be linked to")
        return self.tasks[0].link(as_signature(callback, self._app).clone().set(immutable=True))

    def link_error(self, errback: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        """Call a copy of `errback` for each member that fails. Returns the copies."""
        signature = as_signature(errback, self._app)
        return tuple(task.link_error(signature.clone()) for task in self.tasks)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Self:
        """Let its members begin one after the other: the first after `start` seconds, each `step` seconds later.

        Args:
            start: seconds.
            stop: no member waits longer than this; None: there is no limit.
            step: seconds.
        """
        pause = start
        for task in self.tasks:
            task.set(countdown=pause)
            if stop is None or pause + step <= stop:
                pause += step
        return self

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        found = visitor.on_group_start(self, **headers) or {} if visitor is not None else None
        stamps = merged_stamps(headers, found, append_stamps, self.options)
        self.stamp_links(visitor, append_stamps, **stamps)
        for task in self.tasks:
            task.stamp(visitor, append_stamps, **stamps)
        if visitor is not None:
            visitor.on_group_end(self, **stamps)
        return self

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return not self.is_empty

    def __repr__(self) -> str:
        if self.is_lazy:
            return "group(<a generator>)"
        return shortened(self.tasks[0].task, f"group({self.tasks!r})") if self.tasks else "group(<empty>)"


def alone(task: Signature[Any], *, reads: bool = False) -> Signature[Any]:
    """The member of a group of one; any other signature itself. A generator is looked into only if `reads`."""
    if isinstance(task, group) and (reads or not task.is_lazy) and len(task.tasks) == 1:
        return alone(task.tasks[0], reads=reads)
    return task


def _members(tasks: tuple[Any, ...], app: Celeriac | None) -> list[Signature[Any]] | LazyMembers:
    """What `group` was given: signatures one after the other, or a list, group or generator of them."""
    if len(tasks) != 1:
        return [as_signature(task, app) for task in tasks]
    (only,) = tasks
    if isinstance(only, group):
        return only["kwargs"]["tasks"] if only.is_lazy else list(only.tasks)
    if isinstance(only, Mapping):
        return [as_signature(only, app).clone()]
    if isinstance(only, Iterator):
        return LazyMembers(only, app)
    if isinstance(only, str) or not isinstance(only, Iterable):
        return [as_signature(only, app)]  # which refuses it
    return [as_signature(task, app) for task in only]
