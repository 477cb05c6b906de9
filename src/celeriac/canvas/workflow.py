"""What chains, groups and chords have in common.

Owns how they are made, and that the app sends them as a whole. Knows nothing of what each of them is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from celeriac.call_options import checked_options
from celeriac.canvas.signature import Signature, given
from celeriac.current import get_current_app

if TYPE_CHECKING:
    from typing import Unpack

    from celeriac.app import Celeriac
    from celeriac.option_types import CallOptions
    from celeriac.result import AsyncResult

R = TypeVar("R")


class Workflow(Signature[R]):
    """A signature that is made of others."""

    def begin(
        self,
        task: str,
        kind: str | None,
        kwargs: dict[str, Any],
        given_options: Mapping[str, Any],
        app: Celeriac | None,
    ) -> None:
        """Fill in the dictionary. Among `given_options` may be `args`, `immutable` and `options`, as Celery has it."""
        more = dict(given_options)
        args, immutable = more.pop("args", None) or (), bool(more.pop("immutable", False))
        options = {**(more.pop("options", None) or {}), **more}
        Signature.__init__(self, task, args, {}, options, subtask_type=kind, immutable=immutable, app=app)
        self["kwargs"] = kwargs

    @property
    def app(self) -> Celeriac:
        """The app that sends it: its own, that of the first signature inside, or the current one."""
        return self.app_inside() or get_current_app()

    def app_inside(self) -> Celeriac | None:
        """Its own app, or that of the first signature inside."""
        return self._app or self.first_app()

    def first_app(self) -> Celeriac | None:
        """The app of the first signature inside."""
        raise NotImplementedError

    # What is sent when a task would be called: Celery has it so.
    def __call__(self, *args: Any, **kwargs: Any) -> AsyncResult[R]:  # type: ignore[override]
        """Send it with more arguments for what comes first."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """Send it with more arguments for what comes first, and options.

        Returns:
            The result of what comes last: an `AsyncResult`, or a `GroupResult` if that is a group. Before it, as
            `parent`, are those of the steps before.

        Raises:
            TypeError, ValueError, EncodeError, MessageTooLarge, OperationalError: as `Task.apply_async`. Nothing is
                sent then, or a part of a group.
        """
        checked = self.check_options(given(options))
        app = self.app
        if app.conf.task_always_eager:
            return self.apply(args, kwargs, **checked)
        sent: Any = app.send_workflow(self.as_sent(), args or (), kwargs or {}, checked)
        return cast("AsyncResult[R]", sent)

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """`apply_async` for asyncio."""
        checked = self.check_options(given(options))
        app = self.app
        if app.conf.task_always_eager:
            return await self.aapply(args, kwargs, **checked)
        sent: Any = await app.asend_workflow(self.as_sent(), args or (), kwargs or {}, checked)
        return cast("AsyncResult[R]", sent)

    def as_sent(self) -> Mapping[str, Any]:
        """What the app is given to send."""
        return self

    def check_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check the options of a call.

        Raises:
            TypeError, ValueError: an option that it has not, or a value that can not be.
        """
        return checked_options(options, self.task)

    def merged_partials(
        self, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        """What is given to what comes first, and the options: its own with those of the call."""
        _, _, merged = self.merged(None, None, options)
        if self.immutable:
            return self.args, {}, merged
        return (*(args or ()), *self.args), dict(kwargs or {}), merged
