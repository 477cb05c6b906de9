"""The signature: a call of a task as data, in the form in which Celery sends it as JSON.

Owns the dictionary's keys and how arguments and options are merged. Knows nothing of messages: it calls the app.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, overload

from celeriac.call_options import checked_options
from celeriac.current import get_current_app
from celeriac.exceptions import NotSupported
from celeriac.protocol import checked_args, checked_kwargs
from celeriac.result import AsyncResult

if TYPE_CHECKING:
    from typing import Self, Unpack

    from celeriac.app import Celeriac
    from celeriac.option_types import CallOptions
    from celeriac.task import Task

R = TypeVar("R")

_NO_CHAINS: Final = "chains come with a later version: use link= (`first.apply_async(args, link=second.s())`)"


class Signature(dict[str, Any], Generic[R]):
    """A task with (some of) its arguments and call options, to be sent later or by somebody else.

    A dictionary with the keys `task`, `args`, `kwargs`, `options`, `subtask_type` and `immutable`.
    Arguments that are given when it is called come first.

    Example:
        >>> from celeriac import Celeriac
        >>> app = Celeriac("doc", broker="memory://")
        >>> @app.task(name="doc.add")
        ... def add(x: int, y: int) -> int:
        ...     return x + y
        >>> add.s(4, 6)()
        10
    """

    def __init__(
        self,
        task: str | Task[Any, Any] | Mapping[str, Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: Celeriac | None = None,
    ) -> None:
        self._app = app
        if isinstance(task, Mapping):  # from a message, perhaps: its options are checked when it is sent
            super().__init__(task)
            self.setdefault("options", {})
            return
        name, bound_app = (task, None) if isinstance(task, str) else (task.name, task.bound_app)
        self._app = app or bound_app
        super().__init__(
            task=name,
            args=tuple(checked_args(args, name)) if args is not None else (),
            kwargs=dict(checked_kwargs(kwargs, name)) if kwargs is not None else {},
            options=dict(checked_options(options, name)) if options else {},
            subtask_type=subtask_type,
            immutable=immutable,
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], app: Celeriac | None = None) -> Signature[Any]:
        """Make a signature of its JSON form.

        Raises:
            NotSupported: it is a chain, group or chord.
        """
        if data.get("subtask_type") is not None or "task" not in data:
            kind = data.get("subtask_type") or "thing without a task"
            raise NotSupported(f"a {kind} can not be called by this version: send its tasks one by one")
        return Signature(data, app=app)

    # -- its parts -----------------------------------------------------------------------------------------------------

    @property
    def app(self) -> Celeriac:
        """The app that sends it: its own, or the current one."""
        return self._app if self._app is not None else get_current_app()

    @property
    def task(self) -> str:
        """The task's name."""
        name: str = self["task"]
        return name

    @property
    def type(self) -> Task[Any, Any]:
        """The task.

        Raises:
            NotRegistered: this process does not know it.
        """
        return self.app.tasks[self.task]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments."""
        return tuple(self.get("args") or ())

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments."""
        return dict(self.get("kwargs") or {})

    @property
    def options(self) -> dict[str, Any]:
        """Call options, to be changed in place."""
        options: dict[str, Any] = self["options"]
        return options

    @property
    def immutable(self) -> bool:
        """Takes no further arguments; as a link it does not get the result."""
        return bool(self.get("immutable", False))

    @property
    def id(self) -> str | None:
        """The task id, if it was frozen."""
        return self.options.get("task_id")

    # -- calling -------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Call the task in place."""
        merged_args, merged_kwargs, _ = self._merge(args, kwargs, None)
        value: R = self.type(*merged_args, **merged_kwargs)
        return value

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]:
        """Send it with more arguments, given as in a call."""
        return self.apply_async(args, kwargs)

    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[R]:
        """`delay` for asyncio."""
        return await self.aapply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """Send it with more arguments and options. See `Task.apply_async`."""
        merged_args, merged_kwargs, merged_options = self._merge(args, kwargs, options)
        task = self.app.tasks.find(self.task)
        if task is not None:
            return task.apply_async(merged_args, merged_kwargs, **merged_options)
        return self.app.send_task(self.task, merged_args, merged_kwargs, **merged_options)

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """`apply_async` for asyncio."""
        merged_args, merged_kwargs, merged_options = self._merge(args, kwargs, options)
        task = self.app.tasks.find(self.task)
        if task is not None:
            return await task.aapply_async(merged_args, merged_kwargs, **merged_options)
        return await self.app.asend_task(self.task, merged_args, merged_kwargs, **merged_options)

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Run it in place as a worker would. See `Task.apply`."""
        merged_args, merged_kwargs, merged_options = self._merge(args, kwargs, options)
        return self.type.apply(merged_args, merged_kwargs, **merged_options)

    def freeze(self, _id: str | None = None) -> AsyncResult[R]:
        """Fix the task id, so that the result is known before it is sent."""
        task_id = self.options.setdefault("task_id", _id or str(uuid.uuid4()))
        return AsyncResult(task_id, task_name=self.task, app=self.app)

    # -- changing ------------------------------------------------------------------------------------------------------

    def clone(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """A copy with more arguments (in front) and options."""
        options = dict(checked_options(options, self.task))
        twin = copy.deepcopy(self)
        merged_args, merged_kwargs, merged_options = self._merge(args, kwargs, options, force=True)
        twin["args"], twin["kwargs"], twin["options"] = merged_args, merged_kwargs, merged_options
        return twin

    partial = clone

    def replace(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """A copy in which what is given stands instead of what was."""
        twin = self.clone()
        if args is not None:
            twin["args"] = tuple(checked_args(args, self.task))
        if kwargs is not None:
            twin["kwargs"] = dict(checked_kwargs(kwargs, self.task))
        if options is not None:
            twin["options"] = dict(checked_options(options, self.task))
        return twin

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Set call options, in place. Returns itself."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(checked_options(options, self.task))
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Say whether it takes further arguments."""
        self["immutable"] = immutable

    def link(self, callback: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send `callback` with the result when the task succeeds. Returns `callback`."""
        return self._append("link", callback)

    def link_error(self, errback: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call `errback` when the task fails. Returns `errback`."""
        return self._append("link_error", errback)

    def on_error(self, errback: Mapping[str, Any]) -> Self:
        """`link_error` that returns this signature."""
        self.link_error(errback)
        return self

    def _append(self, key: str, signature: Mapping[str, Any]) -> Mapping[str, Any]:
        checked_options({key: signature}, self.task)
        linked = as_list(self.options.get(key))
        if signature not in linked:
            linked.append(signature)
        self.options[key] = linked
        return signature

    def _merge(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        *,
        force: bool = False,
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        merged_options = {**self.options, **(options or {})}
        if self.immutable and not force:
            return self.args, self.kwargs, merged_options
        return (*(args or ()), *self.args), {**self.kwargs, **(kwargs or {})}, merged_options

    # -- operators of Celery's canvas, which would otherwise merge dictionaries --------------------------------------

    def __or__(self, other: object) -> NoReturn:
        raise NotSupported(_NO_CHAINS)

    def __ror__(self, other: object) -> NoReturn:
        raise NotSupported(_NO_CHAINS)

    def __ior__(self, other: object) -> NoReturn:
        raise NotSupported(_NO_CHAINS)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """The call as one would write it."""
        merged_args, merged_kwargs, _ = self._merge(args, kwargs, None, force=True)
        shown = [repr(arg) for arg in merged_args]
        shown += [f"{name}={value!r}" for name, value in merged_kwargs.items()]
        return f"{self.task}({', '.join(shown)})"

    def __repr__(self) -> str:
        return self.reprcall()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = type(self)(copy.deepcopy(dict(self), memo), app=self._app)
        memo[id(self)] = twin
        return twin

    def __copy__(self) -> Self:
        return copy.deepcopy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Signature, (dict(self),)


def as_list(signatures: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    """What `link` and `link_error` take, as a list: nothing, one signature, or several."""
    if signatures is None:
        return []
    return [signatures] if isinstance(signatures, Mapping) else list(signatures)


@overload
def signature(varies: Signature[R], *, app: Celeriac | None = None) -> Signature[R]: ...


@overload
def signature(
    varies: str | Mapping[str, Any],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    immutable: bool = False,
    app: Celeriac | None = None,
    **more_options: Any,
) -> Signature[Any]: ...


def signature(
    varies: str | Mapping[str, Any],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    immutable: bool = False,
    app: Celeriac | None = None,
    **more_options: Any,
) -> Signature[Any]:
    """Make a signature of a task's name, or of the dictionary form of one.

    Example:
        >>> signature("tasks.add", args=(2, 2), countdown=10)
        tasks.add(2, 2)
    """
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, Mapping):
        return Signature.from_dict(varies, app)
    if not isinstance(varies, str):
        raise TypeError(f"a signature is made of a task's name or of its dictionary form, not of {varies!r:.100}")
    return Signature(varies, args, kwargs, {**(options or {}), **more_options}, immutable=immutable, app=app)
