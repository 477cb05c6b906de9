"""The signature: a call of a task as data, to be sent later or by somebody else.

Owns calling, ids, links and the operators. What `|` makes of two signatures is said by `celeriac.canvas.compose`, how
stamps are gathered by `celeriac.canvas.stamping`. Knows nothing of messages: it calls the app.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar, overload

from celeriac.call_options import CALL_OPTION_NAMES, checked_options
from celeriac.canvas.form import Named, SignatureForm
from celeriac.canvas.freezing import new_id
from celeriac.canvas.mistakes import no_signature
from celeriac.canvas.stamping import StampingVisitor, merged_stamps, stamped_link
from celeriac.canvas.steps import as_list
from celeriac.exceptions import NotSupported
from celeriac.result import AsyncResult

if TYPE_CHECKING:
    from typing import Self, Unpack

    from celeriac.app import Celeriac
    from celeriac.canvas.chain import chain
    from celeriac.option_types import CallOptions
    from celeriac.task import Task

R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T", bound="type[Signature[Any]]")


class Rules(NamedTuple):
    """What signatures become together; see `celeriac.canvas.compose`.

    Attributes:
        join: `left | right`.
        fold: `chain(*signatures)`.
    """

    join: Callable[[Signature[Any], Signature[Any]], Signature[Any]]
    fold: Callable[[Iterable[Signature[Any]]], Signature[Any]]


class Signature(SignatureForm, Generic[R]):
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
        >>> add.s(4, 6) | add.s(10)
        doc.add(4, 6) | add(10)
    """

    #: The classes of signatures by their `subtask_type`.
    TYPES: ClassVar[dict[str, type[Signature[Any]]]] = {}
    #: Set by `celeriac.canvas.compose`, which knows all the classes.
    rules: ClassVar[Rules]

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[T], T]:
        """Let signatures whose `subtask_type` is `name` (by default the class's name) be of the decorated class.

        Example:
            >>> @Signature.register_type()
            ... class nightly(Signature):
            ...     pass
            >>> type(signature({"task": "sweep", "subtask_type": "nightly"})).__name__
            'nightly'
        """

        def register(subclass: T) -> T:
            cls.TYPES[name or subclass.__name__] = subclass
            return subclass

        return register

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], app: Celeriac | None = None) -> Signature[Any]:
        """Make a signature of its JSON form; signatures inside it likewise.

        Raises:
            NotSupported: it has no task, or is of a type that nobody registered.
        """
        if not isinstance(data.get("task"), str):
            raise NotSupported("a thing without a task can not be called: signatures are made by task.s(...)")
        kind = data.get("subtask_type")
        if kind:
            found = cls.TYPES.get(kind)
            if found is None:
                raise NotSupported(f"a {kind} is no type of signature here: {', '.join(cls.TYPES)} are")
            if found is not cls:
                return found.from_dict(data, app)
        made = cls.__new__(cls)
        Signature.__init__(made, data, app=app)
        made.adopt_parts()
        return made

    def adopt_parts(self) -> None:
        """Turn dictionaries inside it into signatures. A task has none inside."""

    @property
    def type(self) -> Task[Any, Any]:
        """The task.

        Raises:
            NotRegistered: this process does not know it.
        """
        return self.app.tasks[self.task]

    # -- calling -------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Call the task in place."""
        merged_args, merged_kwargs, _ = self.merged(args, kwargs, None)
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
        merged_args, merged_kwargs, merged_options = self.merged(args, kwargs, given(options))
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
        merged_args, merged_kwargs, merged_options = self.merged(args, kwargs, given(options))
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
        merged_args, merged_kwargs, merged_options = self.merged(args, kwargs, given(options))
        return self.type.apply(merged_args, merged_kwargs, **merged_options)

    async def aapply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """`apply` for asyncio: a coroutine task is awaited in this loop."""
        merged_args, merged_kwargs, merged_options = self.merged(args, kwargs, given(options))
        return await self.type.aapply(merged_args, merged_kwargs, **merged_options)

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Signature[Any] | None = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> AsyncResult[R]:
        """Fix the task id, so that the result is known before it is sent.

        Args:
            _id: the id, unless it has one; by default a new one.
            group_id: the group that it belongs to, unless it has one.
            chord: the body of the chord that it is a member of.
            root_id: the first task of its tree.
            parent_id: the task that sends it.
            group_index: its place in the group.
        """
        options = self.options
        task_id = options.get("task_id") or _id or new_id()
        options["task_id"] = task_id
        if group_id and "group_id" not in options:
            options["group_id"] = group_id
        place = {"chord": chord, "root_id": root_id, "parent_id": parent_id, "group_index": group_index}
        options.update({name: value for name, value in place.items() if value is not None})
        return AsyncResult(task_id, task_name=self.task, app=self.app)

    # -- links ---------------------------------------------------------------------------------------------------------

    def link(self, callback: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send `callback` with the result when the task succeeds. Returns `callback`."""
        return self.append_to_list_option("link", callback)

    def link_error(self, errback: Mapping[str, Any]) -> Any:
        """Call `errback` when the task fails. Returns `errback`."""
        return self.append_to_list_option("link_error", errback)

    def on_error(self, errback: Mapping[str, Any]) -> Self:
        """`link_error` that returns this signature."""
        self.link_error(errback)
        return self

    def append_to_list_option(self, key: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add a signature to an option that is a list of them, unless it is there. Returns the signature."""
        checked_options({key: value}, self.task)
        linked = as_list(self.options.get(key))
        if value not in linked:
            linked.append(value)
        self.options[key] = linked
        return value

    def flatten_links(self) -> list[Signature[Any]]:
        """This signature, its callbacks, theirs, and so on."""
        flat: list[Signature[Any]] = [self]
        for callback in as_list(self.options.get("link")):
            flat += as_signature(callback, self._app).flatten_links()
        return flat

    # -- stamps --------------------------------------------------------------------------------------------------------

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        """Mark it, and what is linked to it, with stamps: headers that workers and monitors can go by.

        Args:
            visitor: is asked for more stamps.
            append_stamps: collect the values of a stamp that is there already in a list, instead of the last one.
            **headers: the stamps.

        Returns:
            Itself.

        Example:
            >>> signature("send_mail").stamp(tenant="acme").options
            {'tenant': 'acme', 'stamped_headers': ['tenant']}
        """
        self.stamp_links(visitor, append_stamps, **headers)
        found = visitor.on_signature(self, **headers) if visitor is not None else None
        return self.set(**merged_stamps(headers, found, append_stamps, self.options))

    def stamp_links(self, visitor: StampingVisitor | None, append_stamps: bool = False, **headers: Any) -> None:
        """Mark its callbacks and errbacks, but not itself."""
        for name in ("link", "link_error"):
            if self.options.get(name):
                links = [as_signature(link, self._app) for link in as_list(self.options[name])]
                self.options[name] = links
                seen: Mapping[str, Any] = headers
                for link in links:
                    seen = stamped_link(link, name, visitor, append_stamps, seen)

    # -- operators -----------------------------------------------------------------------------------------------------

    def __or__(self, other: Signature[S]) -> chain[S]:  # type: ignore[override]
        joined: Any = self.rules.join(self, as_signature(other, None))
        return joined  # type: ignore[no-any-return]

    def __ror__(self, other: Mapping[str, Any]) -> chain[R]:  # type: ignore[override]
        joined: Any = self.rules.join(as_signature(other, None), self)
        return joined  # type: ignore[no-any-return]

    def __ior__(self, other: Signature[S]) -> chain[S]:  # type: ignore[override]
        return self | other

    def __invert__(self) -> Any:
        """Send it and wait for the result."""
        return self.apply_async().get()

    # -- the rest ------------------------------------------------------------------------------------------------------

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """The call as one would write it."""
        merged_args, merged_kwargs, _ = self.merged(args, kwargs, None, force=True)
        shown = [repr(arg) for arg in merged_args]
        shown += [f"{name}={value!r}" for name, value in merged_kwargs.items()]
        return f"{self.task}({', '.join(shown)})"

    def __repr__(self) -> str:
        return self.reprcall()

    def __reduce__(self) -> tuple[Any, ...]:
        return signature, (dict(self),)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without those that are None, which stands for "as it is". What is no option is kept, to be refused."""
    return {name: value for name, value in options.items() if value is not None or name not in CALL_OPTION_NAMES}


def as_signature(value: object, app: Celeriac | None) -> Signature[Any]:
    """A signature itself, or one made of its dictionary form.

    Raises:
        TypeError: it is neither; the text says what to write instead.
    """
    if isinstance(value, Signature):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("task"), str):
        return Signature.from_dict(value, app)
    raise TypeError(no_signature(value))


@overload
def signature(varies: Signature[R], *, app: Celeriac | None = None) -> Signature[R]: ...


@overload
def signature(
    varies: str | Named | Mapping[str, Any],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    immutable: bool = False,
    app: Celeriac | None = None,
    **more_options: Any,
) -> Signature[Any]: ...


def signature(
    varies: str | Named | Mapping[str, Any],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    immutable: bool = False,
    app: Celeriac | None = None,
    **more_options: Any,
) -> Signature[Any]:
    """Make a signature of a task or its name, or of the dictionary form of one. A signature is copied.

    Example:
        >>> signature("tasks.add", args=(2, 2), countdown=10)
        tasks.add(2, 2)
    """
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, Mapping):
        return Signature.from_dict(varies, app)
    if not isinstance(varies, str | Named):
        raise TypeError(f"a signature is made of a task, its name or its dictionary form, not of {varies!r:.100}")
    return Signature(varies, args, kwargs, {**(options or {}), **more_options}, immutable=immutable, app=app)


@overload
def maybe_signature(varies: None, app: Celeriac | None = None, clone: bool = False) -> None: ...


@overload
def maybe_signature(varies: Mapping[str, Any], app: Celeriac | None = None, clone: bool = False) -> Signature[Any]: ...


def maybe_signature(
    varies: Mapping[str, Any] | None, app: Celeriac | None = None, clone: bool = False
) -> Signature[Any] | None:
    """A signature itself (or a copy of it), one made of its dictionary form, or None for None.

    Args:
        varies: the signature, its dictionary form, or None.
        app: the app that shall send it from now on.
        clone: copy a signature.
    """
    if varies is None:
        return None
    made = as_signature(varies, app)
    if clone and made is varies:
        made = made.clone()
    return made if app is None else made.bind(app)
