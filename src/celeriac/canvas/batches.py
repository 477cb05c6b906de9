"""Many calls of one task in one message, or in few.

Owns the classes `xmap`, `xstarmap` and `chunks`. In their JSON form they are plain signatures, as Celery has it, of the
tasks in `celeriac.builtin_tasks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from celeriac.canvas.group import group
from celeriac.canvas.signature import Signature, as_signature
from celeriac.canvas.workflow import Workflow
from celeriac.group_result import GroupResult
from celeriac.result import AsyncResult

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.canvas.form import SignatureForm

R = TypeVar("R")

#: Characters of the items that are shown.
_SHOWN = 100


class Batch(Signature[R]):
    """A signature whose task is called for each item of an iterable. It takes no further arguments.

    Args:
        task: the signature; its arguments are not used.
        it: the items; a generator is read at once.
        app: the app that sends it; by default that of the task.
        **options: call options.
    """

    _task: ClassVar[str]
    _call: ClassVar[str]

    def __init__(self, task: Mapping[str, Any], it: Iterable[Any], app: Celeriac | None = None, **options: Any) -> None:
        called = as_signature(task, app)
        super().__init__(self._task, (), None, options, immutable=True, app=app or called.bound_app)
        self["kwargs"] = {"task": called, "it": _items(it)}

    def adopt_parts(self) -> None:
        kwargs = self["kwargs"] = dict(self.kwargs)
        kwargs["task"] = as_signature(kwargs.get("task"), self._app)

    def _copied_kwargs(self) -> dict[str, Any]:
        return {**self.kwargs, "task": self.kwargs["task"].clone()}

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Send it where its task goes by default. See `Task.apply_async`."""
        return super().apply_async(args, kwargs, **{"route_name": self.kwargs["task"].task, **options})

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """`apply_async` for asyncio."""
        return await super().aapply_async(args, kwargs, **{"route_name": self.kwargs["task"].task, **options})

    def __repr__(self) -> str:
        shown = repr(self.kwargs["it"])
        shown = shown if len(shown) < _SHOWN else f"{shown[:_SHOWN].rsplit(' ', 1)[0]}..."
        return f"[{self.kwargs['task'].task}({self._call}) for x in {shown}]"


class xmap(Batch[R]):  # noqa: N801 - Celery's name
    """A task called for each item, one after the other, in one message. It comes to the list of results.

    Example:
        >>> from celeriac import Celeriac
        >>> app = Celeriac("doc", broker="memory://", task_always_eager=True)
        >>> @app.task(name="doc.total")
        ... def total(numbers: list[int]) -> int:
        ...     return sum(numbers)
        >>> total.map([[1, 2], [3]]).delay().get()
        [3, 3]
    """

    _task, _call = "celery.map", "x"


class xstarmap(Batch[R]):  # noqa: N801 - Celery's name
    """`xmap` with items that are lists of arguments."""

    _task, _call = "celery.starmap", "*x"


class chunks(Workflow[list[Any]]):  # noqa: N801 - Celery's name
    """A task called for each list of arguments, in messages of `n` calls that run side by side.

    Args:
        task: the signature; its arguments are not used.
        it: lists of arguments; a generator is read at once.
        n: calls in one message.
        app: the app that sends it; by default that of the task.
        **options: call options of each message.

    Example:
        >>> from celeriac import Celeriac
        >>> app = Celeriac("doc", broker="memory://", task_always_eager=True)
        >>> @app.task(name="doc.add")
        ... def add(x: int, y: int) -> int:
        ...     return x + y
        >>> add.chunks(zip(range(5), range(5)), 2)().get()
        [[0, 2], [4, 6], [8]]
    """

    def __init__(
        self, task: Mapping[str, Any], it: Iterable[Any], n: int, app: Celeriac | None = None, **options: Any
    ) -> None:
        called = as_signature(task, app)
        if n < 1:
            raise ValueError(f"a chunk has at least 1 item, not {n!r}")
        parts = {"task": called, "it": _items(it), "n": n}
        self.begin("celery.chunks", None, parts, {**options, "immutable": True}, app)

    def adopt_parts(self) -> None:
        kwargs = self["kwargs"] = dict(self.kwargs)
        kwargs["task"] = as_signature(kwargs.get("task"), self._app)

    def _copied_kwargs(self) -> dict[str, Any]:
        return {**self.kwargs, "task": self.kwargs["task"].clone()}

    def first_app(self) -> Celeriac | None:
        task: SignatureForm = self.kwargs["task"]
        return task.app_inside()

    def group(self) -> group:
        """The group of messages that it stands for."""
        task, items, size = (self.kwargs[name] for name in ("task", "it", "n"))
        parts = (xstarmap[Any](task, part, app=self._app) for part in _parted(items, size))
        return group(list(parts), app=self._app, **self.options)

    def __call__(self, **options: Any) -> GroupResult:  # type: ignore[override]
        """Send it."""
        return self.apply_async(**options)

    def apply_async(  # type: ignore[override]
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> GroupResult:
        """Send its messages. Returns a `GroupResult`, in which each message has the list of its results."""
        del args, kwargs  # its calls have theirs
        return self.group().apply_async(**{"route_name": self.kwargs["task"].task, **options})

    async def aapply_async(  # type: ignore[override]
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> GroupResult:
        """`apply_async` for asyncio."""
        del args, kwargs
        return await self.group().aapply_async(**{"route_name": self.kwargs["task"].task, **options})

    def apply(  # type: ignore[override]
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> GroupResult:
        """Run them in place."""
        del args, kwargs
        return self.group().apply(**options)

    async def aapply(  # type: ignore[override]
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> GroupResult:
        """`apply` for asyncio."""
        del args, kwargs
        return await self.group().aapply(**options)

    @classmethod
    def apply_chunks(
        cls, task: Mapping[str, Any], it: Iterable[Any], n: int, app: Celeriac | None = None
    ) -> GroupResult:
        """Send them at once."""
        return cls(task, it, n, app=app)()


def _items(it: Iterable[Any]) -> list[Any]:
    if isinstance(it, str | bytes | Mapping) or not isinstance(it, Iterable):
        raise TypeError(f"expected the items to call the task with, as a list, not {it!r:.100}")
    return list(it)


def _parted(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
