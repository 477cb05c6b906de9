"""The dictionary that a signature is: its keys, how arguments and options are merged, how it is copied.

Owns the form in which Celery sends signatures as JSON. Knows nothing of sending and of what is linked to what.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from celeriac.call_options import checked_options
from celeriac.canvas.steps import too_deep
from celeriac.current import get_current_app
from celeriac.protocol import checked_args, checked_kwargs

if TYPE_CHECKING:
    from typing import Self

    from celeriac.app import Celeriac

#: Options that say where a signature stands. What it has of them stays when it is sent with others: they would stall
#: what waits for it.
_KEPT_OPTIONS: Final = frozenset({"group_id", "stamped_headers"})


@runtime_checkable
class Named(Protocol):
    """A task, as far as signatures know one."""

    name: str

    @property
    def bound_app(self) -> Celeriac | None: ...


class SignatureForm(dict[str, Any]):
    """What `Signature` is as data: the keys `task`, `args`, `kwargs`, `options`, `subtask_type` and `immutable`."""

    _app: Celeriac | None = None

    def __init__(
        self,
        task: str | Named | Mapping[str, Any],
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

    # -- its parts -----------------------------------------------------------------------------------------------------

    @property
    def app(self) -> Celeriac:
        """The app that sends it: its own, or the current one."""
        return self._app if self._app is not None else get_current_app()

    @property
    def bound_app(self) -> Celeriac | None:
        """Its own app, if it has one."""
        return self._app

    def app_inside(self) -> Celeriac | None:
        """Its own app, if it has one; of a workflow without one, that of the first signature inside."""
        return self._app

    def bind(self, app: Celeriac | None) -> Self:
        """Let `app` send it, or with None the app that is current then. Returns itself."""
        self._app = app
        return self

    @property
    def task(self) -> str:
        """The task's name."""
        name: str = self["task"]
        return name

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments."""
        return tuple(self.get("args") or ())

    @args.setter
    def args(self, args: Sequence[Any]) -> None:
        self["args"] = tuple(checked_args(args, self.task))

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments, to be changed in place."""
        kwargs: dict[str, Any] | None = self.get("kwargs")
        if kwargs is None:
            kwargs = self["kwargs"] = {}
        return kwargs

    @kwargs.setter
    def kwargs(self, kwargs: Mapping[str, Any]) -> None:
        self["kwargs"] = dict(checked_kwargs(kwargs, self.task))

    @property
    def options(self) -> dict[str, Any]:
        """Call options, to be changed in place."""
        options: dict[str, Any] = self["options"]
        return options

    @options.setter
    def options(self, options: Mapping[str, Any]) -> None:
        self["options"] = dict(checked_options(options, self.task))

    @property
    def subtask_type(self) -> str | None:
        """`chain`, `group`, `chord` and the like; None for a task."""
        return self.get("subtask_type")

    @property
    def immutable(self) -> bool:
        """Takes no further arguments; as a link it does not get the result."""
        return bool(self.get("immutable", False))

    @immutable.setter
    def immutable(self, immutable: bool) -> None:
        self["immutable"] = immutable

    @property
    def id(self) -> str | None:
        """The task id, if it was frozen. Of a group, and of a chord, the id of the group."""
        return self.options.get("task_id")

    @property
    def root_id(self) -> str | None:
        """The first task of its tree, if it was set."""
        return self.options.get("root_id")

    @property
    def parent_id(self) -> str | None:
        """The task that sends it, if it was set."""
        return self.options.get("parent_id")

    # -- copies and changes --------------------------------------------------------------------------------------------

    def clone(self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """A copy with more arguments (in front) and options. An immutable one keeps its arguments."""
        twin = self._twin()
        if args or kwargs or options:
            checked = checked_options(options, self.task)
            twin["args"], twin["kwargs"], twin["options"] = twin.merged(args, kwargs, checked)
        return twin

    partial = clone

    def replace(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """A copy in which what is given stands instead of what was."""
        twin = self._twin()
        if args is not None:
            twin.args = args
        if kwargs is not None:
            twin.kwargs = kwargs
        if options is not None:
            twin.options = dict(options)
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

    def _twin(self) -> Self:
        """A copy that shares nothing with it but the values of arguments and options."""
        twin = type(self).__new__(type(self))
        twin.update(self)
        try:
            twin["args"], twin["kwargs"], twin["options"] = self.args, self._copied_kwargs(), copied(self.options)
        except RecursionError:
            raise too_deep() from None
        return twin.bind(self._app)

    def _copied_kwargs(self) -> dict[str, Any]:
        return dict(self.kwargs)

    def merged(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        *,
        force: bool = False,
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        """What it is sent with. `force` gives arguments to an immutable one, too."""
        own = merged = self.options
        if options:
            kept = _KEPT_OPTIONS.union(own["stamped_headers"]) if own.get("stamped_headers") else _KEPT_OPTIONS
            merged = {**own, **{name: options[name] for name in options if name not in kept or name not in own}}
        if (self.immutable and not force) or not (args or kwargs):
            return self.args, self.kwargs, merged
        return (*(args or ()), *self.args), {**self.kwargs, **(kwargs or {})}, merged

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        for key in self:
            twin[key] = copy.deepcopy(self[key], memo)
        return twin.bind(self._app)

    def __copy__(self) -> Self:
        return self._twin()


def copied(value: Any) -> Any:
    """A copy of options: of its dictionaries, lists and signatures, but not of other values."""
    if isinstance(value, SignatureForm):
        return value.clone()
    if isinstance(value, dict):
        return {name: copied(part) for name, part in value.items()}
    return [copied(part) for part in value] if isinstance(value, list) else value
