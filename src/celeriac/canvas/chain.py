"""Chains: tasks that run one after the other, each with the result of the one before it.

Owns the class. What becomes of groups and chords in a chain is said by `celeriac.canvas.compose`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from celeriac.canvas.group import alone, group
from celeriac.canvas.results import origin_of
from celeriac.canvas.running import Run, arun, run, run_chain
from celeriac.canvas.shortening import shortened
from celeriac.canvas.signature import Signature, as_signature, given
from celeriac.canvas.stamping import StampingVisitor, merged_stamps
from celeriac.canvas.steps import as_list
from celeriac.canvas.workflow import Workflow

if TYPE_CHECKING:
    from typing import Self

    from celeriac.app import Celeriac
    from celeriac.result import AnyResult, AsyncResult

R = TypeVar("R")


@Signature.register_type()
class chain(Workflow[R]):  # noqa: N801 - Celery's name
    """Tasks that run one after the other; each gets the result of the one before it as its first argument.

    `chain(a, b, c)` is `a | b | c`; a single argument is a list or generator of signatures. A group that something
    follows is the header of a chord. With options nothing is put together yet.

    Args:
        *tasks: the signatures.
        app: the app that sends it; by default that of the first task.
        **options: call options: `link` is for the last task, `link_error` for each, the others for the first one.

    Example:
        >>> from celeriac import Celeriac, chain
        >>> app = Celeriac("doc", broker="memory://", task_always_eager=True)
        >>> @app.task(name="doc.add")
        ... def add(x: int, y: int) -> int:
        ...     return x + y
        >>> chain(add.s(2, 2), add.s(4), add.s(8))().get()
        16
    """

    _is_folded = False

    def __new__(cls, *tasks: Any, **options: Any) -> Self:
        """The chain; or what `|` makes of the tasks, if that is no chain: a group, or a chord."""
        if options or not tasks or (len(tasks) == 1 and isinstance(tasks[0], Mapping)):
            return super().__new__(cls)
        folded = cls.rules.fold(as_signature(task, None) for task in _given_tasks(tasks))
        if not isinstance(folded, chain):
            return cast("Self", folded)  # typed code goes on to see a chain, which is the usual case
        made = super().__new__(cls)
        made.update(folded)
        made._is_folded = True
        return made

    @overload
    def __init__(self, last: Signature[R], /, *, app: Celeriac | None = None, **options: Any) -> None: ...

    @overload
    def __init__(self, first: Signature[Any], last: Signature[R], /, **options: Any) -> None: ...

    @overload
    def __init__(self, first: Signature[Any], b: Signature[Any], last: Signature[R], /, **options: Any) -> None: ...

    @overload
    def __init__(
        self, first: Signature[Any], b: Signature[Any], c: Signature[Any], last: Signature[R], /, **options: Any
    ) -> None: ...

    @overload
    def __init__(
        self: chain[Any], /, *tasks: Mapping[str, Any] | Iterable[Mapping[str, Any]], **options: Any
    ) -> None: ...

    def __init__(self, /, *tasks: Any, **options: Any) -> None:
        if self._is_folded:
            return
        app = options.pop("app", None)
        steps = [as_signature(task, app) for task in _given_tasks(tasks)]
        self.begin("celery.chain", "chain", {"tasks": steps}, options, app)

    def adopt_parts(self) -> None:
        kwargs = self["kwargs"] = dict(self.kwargs)
        kwargs["tasks"] = [as_signature(task, self._app) for task in kwargs.get("tasks") or ()]

    @property
    def tasks(self) -> list[Signature[Any]]:
        """Its tasks, to be changed in place."""
        tasks: list[Signature[Any]] = self["kwargs"]["tasks"]
        return tasks

    @tasks.setter
    def tasks(self, tasks: Iterable[Any]) -> None:
        self["kwargs"]["tasks"] = [as_signature(task, self._app) for task in tasks]

    def first_app(self) -> Celeriac | None:
        return self.tasks[0].app_inside() if self.tasks else None

    def _copied_kwargs(self) -> dict[str, Any]:
        return {**self.kwargs, "tasks": [task.clone() for task in self.tasks]}

    def unchain_tasks(self) -> list[Signature[Any]]:
        """Copies of its tasks, the last one with its callbacks, each with its errbacks."""
        tasks = [task.clone() for task in self.tasks]
        if tasks:
            for callback in as_list(self.options.get("link")):
                tasks[-1].link(callback)
        for errback in as_list(self.options.get("link_error")):
            for task in tasks:
                task.link_error(errback)
        return tasks

    # -- running -------------------------------------------------------------------------------------------------------

    def apply(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Run it in place, one task after the other. What follows a task that failed is not run, and fails like it."""
        return cast("AsyncResult[R]", run(self._run(args, kwargs, options)))

    async def aapply(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """`apply` for asyncio."""
        return cast("AsyncResult[R]", await arun(self._run(args, kwargs, options)))

    def _run(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Run:
        merged_args, merged_kwargs, merged = self.merged_partials(args, kwargs, given(options))
        own = {name: value for name, value in self.kwargs.items() if name != "tasks"}  # given to a copy: `clone`
        return run_chain(self.app, self.linked_steps(), merged_args, {**own, **merged_kwargs}, merged)

    # -- ids -----------------------------------------------------------------------------------------------------------

    def steps(self) -> list[Signature[Any]]:
        """Its tasks without chains among them; a group of one is that one, an empty one is nothing."""
        return _kept(_spliced(self.tasks))

    def linked_steps(self) -> list[Signature[Any]]:
        """Its steps; those of chains inside it are copies, with the callbacks and errbacks of these chains."""
        return _kept(_spliced(self.tasks, linked=True))

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Signature[Any] | None = None,
        root_id: str | None = None,
        parent_id: str | None = None,  # noqa: ARG002 - what sends a chain is the parent of its first task by itself
        group_index: int | None = None,
    ) -> AsyncResult[R]:
        """Fix the ids of its tasks. Returns the result of the last one; each result's parent is the one before it.

        Args and errors are those of `Signature.freeze`; id, group and chord are those of the last task.

        Raises:
            ValueError: it is empty.
        """
        steps = self.steps()
        if not steps:
            raise ValueError("an empty chain has no result: give chain() at least one signature")
        last: AsyncResult[R] = steps[-1].freeze(_id or self.id, group_id, chord, root_id, None, group_index)
        later: AnyResult = last
        for step in reversed(steps[:-1]):
            result: AnyResult = step.freeze(root_id=root_id)
            origin_of(later).parent = result
            later = result
        self.options["task_id"] = last.id
        return last

    # -- stamps --------------------------------------------------------------------------------------------------------

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        found = visitor.on_chain_start(self, **headers) or {} if visitor is not None else None
        stamps = merged_stamps(headers, found, append_stamps, self.options)
        self.stamp_links(visitor, append_stamps, **stamps)
        for task in self.tasks:
            task.stamp(visitor, append_stamps, **stamps)
        if visitor is not None:
            visitor.on_chain_end(self, **stamps)
        return self

    def __repr__(self) -> str:
        if not self.tasks:
            return f"<{type(self).__name__}@{id(self):#x}: empty>"
        return shortened(self.tasks[0].task, " | ".join(map(repr, self.tasks)))


def _given_tasks(tasks: tuple[Any, ...]) -> Iterable[Any]:
    """What `chain` was given: one after the other, or a list or generator of them."""
    if len(tasks) == 1 and not isinstance(tasks[0], Mapping | str) and isinstance(tasks[0], Iterable):
        return tasks[0]
    return tasks


def _spliced(tasks: Iterable[Signature[Any]], *, linked: bool = False) -> Iterator[Signature[Any]]:
    for task in tasks:
        step = alone(task, reads=linked)
        if isinstance(step, chain):
            yield from _spliced(step.unchain_tasks() if linked else step.tasks, linked=linked)
        else:
            yield step


def _kept(spliced: Iterable[Signature[Any]]) -> list[Signature[Any]]:
    """Without empty groups; if there is nothing else, the last of them."""
    steps = list(spliced)
    return [step for step in steps if not (isinstance(step, group) and step.is_empty)] or steps[-1:]
