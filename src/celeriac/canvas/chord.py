"""Chords: a group, and a task that gets the list of its results.

Owns the class. Knows nothing of chains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from celeriac.canvas.group import group
from celeriac.canvas.results import origin_of
from celeriac.canvas.running import Run, arun, run, run_chord
from celeriac.canvas.shortening import shortened
from celeriac.canvas.signature import Signature, as_signature, given
from celeriac.canvas.stamping import StampingVisitor, merged_stamps
from celeriac.canvas.workflow import Workflow

if TYPE_CHECKING:
    from typing import Self, Unpack

    from celeriac.app import Celeriac
    from celeriac.option_types import CallOptions
    from celeriac.result import AsyncResult

R = TypeVar("R")

_NO_BODY = "a chord needs a body: chord(header, body), or chord(header)(body)"


@Signature.register_type()
class chord(Workflow[R]):  # noqa: N801 - Celery's name
    """A group (the header), and a task (the body) that gets the list of its results when all of them are there.

    Args:
        header: a group, or a list or generator of signatures, which is read at once. A chain stands for its tasks.
        body: the signature that follows; it can also be given when the chord is called.
        task: Celery's name of a chord.
        args: arguments for each task of the header.
        kwargs: `{"kwargs": {...}}` with keyword arguments for each task of the header.
        app: the app that sends it; by default that of the first task.
        **options: call options. `link` and `link_error` are the body's, `countdown` and `eta` the header's, others
            both have.

    Example:
        >>> from celeriac import Celeriac, chord
        >>> app = Celeriac("doc", broker="memory://", task_always_eager=True)
        >>> @app.task(name="doc.square")
        ... def square(x: int) -> int:
        ...     return x * x
        >>> @app.task(name="doc.total")
        ... def total(numbers: list[int]) -> int:
        ...     return sum(numbers)
        >>> chord(square.s(number) for number in range(4))(total.s()).get()
        14
    """

    @overload
    def __init__(self, header: Any, body: Signature[R], *, app: Celeriac | None = None, **options: Any) -> None: ...

    @overload
    def __init__(
        self: chord[Any],
        header: Any,
        body: Mapping[str, Any] | None = None,
        task: str = "celery.chord",
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        app: Celeriac | None = None,
        **options: Any,
    ) -> None: ...

    def __init__(
        self,
        header: Any,
        body: Mapping[str, Any] | None = None,
        task: str = "celery.chord",
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        app: Celeriac | None = None,
        **options: Any,
    ) -> None:
        parts = {**(kwargs or {"kwargs": {}}), "header": _header(header, app), "body": _body(body, app)}
        self.begin(task, "chord", parts, {**options, "args": args}, app)

    def adopt_parts(self) -> None:
        kwargs = self["kwargs"] = dict(self.kwargs)
        header = kwargs.get("header") or ()
        if isinstance(header, Mapping):
            kwargs["header"] = as_signature(header, self._app)
        else:
            kwargs["header"] = [as_signature(task, self._app) for task in header]
        kwargs["body"] = _body(kwargs.get("body"), self._app)

    @property
    def tasks(self) -> list[Signature[Any]]:
        """The members of its header, to be changed in place."""
        header: Any = self["kwargs"]["header"]
        return header.tasks if isinstance(header, group) else cast("list[Signature[Any]]", header)

    @tasks.setter
    def tasks(self, tasks: Iterable[Any]) -> None:
        self["kwargs"]["header"] = _header(tasks, self._app)

    @property
    def header(self) -> group:
        """Its header as a group. From now on it is one in its JSON form, too."""
        header = self["kwargs"]["header"]
        if not isinstance(header, group):
            header = group(app=self._app)
            header["kwargs"]["tasks"] = self["kwargs"]["header"]
            self["kwargs"]["header"] = header
        return header

    @property
    def body(self) -> Signature[R]:
        """What follows.

        Raises:
            TypeError: it has none yet.
        """
        body: Signature[R] | None = self["kwargs"]["body"]
        if body is None:
            raise TypeError(_NO_BODY)
        return body

    @body.setter
    def body(self, body: Mapping[str, Any]) -> None:
        self["kwargs"]["body"] = as_signature(body, self._app)

    @property
    def has_body(self) -> bool:
        """Its body is known."""
        return self["kwargs"]["body"] is not None

    def first_app(self) -> Celeriac | None:
        inside = self.tasks[0].app_inside() if self.tasks else None
        return inside or (self.body.app_inside() if self.has_body else None)

    def _copied_kwargs(self) -> dict[str, Any]:
        header, body = self.kwargs["header"], self.kwargs["body"]
        return {
            **self.kwargs,
            "kwargs": dict(self.kwargs.get("kwargs") or {}),
            "header": header.clone() if isinstance(header, group) else [task.clone() for task in header],
            "body": body.clone() if body is not None else None,
        }

    # -- running -------------------------------------------------------------------------------------------------------

    def __call__(  # type: ignore[override]  # Celery has it so
        self, body: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[Any]:
        """Send it, with `body` as its body."""
        return self.apply_async((), {"body": body} if body else {}, **options)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """Send it with more arguments for each task of the header, and options. Returns the result of the body.

        Args:
            args: positional arguments.
            kwargs: keyword arguments; `body` among them is its body from now on.
            **options: see `chord`.
        """
        complete, more = self._with_body(kwargs)
        return Workflow.apply_async(complete, args, more, **options)

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """`apply_async` for asyncio."""
        complete, more = self._with_body(kwargs)
        return await Workflow.aapply_async(complete, args, more, **options)

    def _with_body(self, kwargs: Mapping[str, Any] | None) -> tuple[Self, dict[str, Any]]:
        """The chord with the body that it is called with, and the rest of the arguments."""
        more = dict(kwargs or {})
        body = more.pop("body", None)
        complete = self if body is None else self.clone()
        if body is not None:
            complete.body = body
        if not complete.has_body:
            raise TypeError(_NO_BODY)
        return complete, more

    def apply(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Run it in place: the tasks of the header one after the other, then the body, unless one of them failed."""
        complete, more = self._with_body(kwargs)
        return cast("AsyncResult[R]", run(complete.runs(args, more, options)))

    async def aapply(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """`apply` for asyncio."""
        complete, more = self._with_body(kwargs)
        return cast("AsyncResult[R]", await arun(complete.runs(args, more, options)))

    def runs(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> Run:
        """The steps of `apply`."""
        merged_args, merged_kwargs, merged = self.merged_partials(args, kwargs, given(options))
        partial = {**(self.kwargs.get("kwargs") or {}), **merged_kwargs}
        header = self["kwargs"]["header"]
        members = header if isinstance(header, group) else group(header, app=self._app)
        return run_chord(self.app, members, self.body, merged_args, partial, merged)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Signature[Any] | None = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> AsyncResult[R]:
        """Fix the ids of its header and its body. Its own id is that of the header's group.

        Args and errors are those of `Signature.freeze`; id, group and chord are those of the body.

        Returns:
            The result of the body; what comes before it, as `parent`, is the `GroupResult` of the header.
        """
        body = self.body
        header = self.header.freeze(root_id=root_id, parent_id=parent_id)
        self.options["task_id"] = header.id
        last = body.freeze(_id, group_id, chord, root_id, None, group_index)
        origin_of(last).parent = header
        return last

    def link(self, callback: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send `callback` with the result of the body. Returns `callback`."""
        self.body.link(callback)
        return callback

    def link_error(self, errback: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call `errback` when the body fails, or can not run because a task of the header failed. Returns it.

        With the setting `task_allow_error_cb_on_chord_header` it is also called for each such task.
        """
        signature = as_signature(errback, self._app)
        on_header = self.app.conf.task_allow_error_cb_on_chord_header
        for task in self.tasks:
            if on_header:
                task.link_error(signature.clone())
            if isinstance(task, type(self)):
                task.link_error(signature)
        self.body.link_error(signature)
        return errback

    def set_immutable(self, immutable: bool) -> None:
        """Say whether the tasks of its header take further arguments."""
        for task in self.tasks:
            task.set_immutable(immutable)

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        found = visitor.on_chord_header_start(self, **headers) or {} if visitor is not None else None
        stamps = merged_stamps(headers, found, append_stamps, self.options)
        self.stamp_links(visitor, append_stamps, **stamps)
        for task in self.tasks:
            task.stamp(visitor, append_stamps, **stamps)
        if visitor is not None:
            visitor.on_chord_header_end(self, **stamps)
        if visitor is not None and self.has_body:
            found = visitor.on_chord_body(self, **stamps) or {}
            stamps = merged_stamps(stamps, found, append_stamps, self.options)
        if self.has_body:
            self.body.stamp(visitor, append_stamps, **stamps)
        return self

    def __length_hint__(self) -> int:
        """How many tasks its header has."""
        return len(group(self.tasks).flattened())

    def __repr__(self) -> str:
        if not self.has_body:
            return f"<chord without body: {self.tasks!r}>"
        body = self.body
        if body.subtask_type != "chain" or not body.kwargs["tasks"]:
            return "%" + shortened(body.task, body.reprcall(self.tasks))
        first, *rest = body.kwargs["tasks"]
        then = " | ".join(map(repr, rest))
        return shortened(first.task, f"%({first.reprcall(self.tasks)} | {then})")


def _header(header: Any, app: Celeriac | None) -> list[Signature[Any]]:
    """The members of a header, by what `chord` was given."""
    given_header = as_signature(header, app) if isinstance(header, Mapping) else header
    if isinstance(given_header, group):
        return list(given_header.tasks)
    if isinstance(given_header, Signature):
        return list(given_header.kwargs["tasks"]) if given_header.subtask_type == "chain" else [given_header]
    if isinstance(header, str) or not isinstance(header, Iterable):
        as_signature(header, app)  # which refuses it
    return [as_signature(task, app) for task in header]


def _body(body: Any, app: Celeriac | None) -> Signature[Any] | None:
    return None if body is None else as_signature(body, app)
