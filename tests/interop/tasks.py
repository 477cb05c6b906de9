"""The tasks of both sides. One text makes them for Celery and for Celeriac, since the words are the same.

Imported by both apps in their environments, so it knows neither of the two; what differs is given to `declare`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from interop.journal import Journal


class App(Protocol):
    """What the tasks need of an app of either side."""

    def task(self, **options: Any) -> Callable[[Callable[..., Any]], object]:
        """Declare a task."""
        ...

    def signature(self, name: str, **options: Any) -> Any:
        """Make a signature of one."""
        ...

    def send_task(self, name: str, args: Any, **options: Any) -> Any:
        """Send one by its name."""
        ...


class Side(NamedTuple):
    """What tasks must know of the side they run on.

    Attributes:
        name: `celery` or `celeriac`.
        journal: where to tell it.
        boom: an exception class that only this side's workers can import.
        reject: the side's exception `Reject`.
        soft_limit: the side's exception `SoftTimeLimitExceeded`.
    """

    name: str
    journal: Journal
    boom: type[Exception]
    reject: Callable[..., Exception]
    soft_limit: type[Exception]

    def pause(self, countdown: float) -> float:
        """The countdown of a retry. Celery needs one, so that its results come in the order of the runs.

        It stores RETRY after it has sent the message, which may have been run again by then.
        """
        return max(countdown, 0.3) if self.name == "celery" else countdown


def declare(app: App, side: Side) -> None:
    """Declare all tasks."""
    _declare_plain(app, side)
    _declare_retries(app, side)
    _declare_callbacks(app, side)
    _declare_members(app, side)
    _declare_awkward(app, side)


def declare_captured(app: App) -> None:
    """Declare the tasks whose calls were captured. Nobody runs them."""
    for name in ("wire.add", "wire.echo", "wire.noop"):
        app.task(name=name, typing=False)(_no_operation)
    app.task(name="wire.soft", typing=False, time_limit=5, soft_time_limit=1)(_no_operation)
    app.task(name="wire.ignored", typing=False, ignore_result=True)(_no_operation)


def _no_operation(*_: Any, **__: Any) -> None:
    return


def _declare_plain(app: App, side: Side) -> None:
    @app.task(name="add")
    def add(x: Any, y: Any) -> Any:
        return x + y

    @app.task(name="echo")
    def echo(value: Any) -> Any:
        return value

    @app.task(name="arguments")
    def arguments(*args: Any, **kwargs: Any) -> str:
        return repr((args, sorted(kwargs.items())))

    @app.task(name="where")
    def where(key: str | None = None, entry: str = "") -> str:
        if key is not None:
            side.journal.note(key, f"{side.name} {entry}")
        return side.name

    @app.task(name="gated", track_started=True)
    def gated(key: str) -> str:
        side.journal.note(key, side.name)
        side.journal.pass_gate(key)
        return side.name

    @app.task(name="late", acks_late=True)
    def late(key: str) -> str:
        side.journal.note(key, side.name)
        side.journal.pass_gate(key)
        return side.name

    @app.task(name="context", bind=True)
    def context(self: Any, *_: Any) -> dict[str, Any]:
        return context_of(self.request, side)

    @app.task(name="ignored", ignore_result=True)
    def ignored(key: str) -> str:
        side.journal.note(key, side.name)
        return side.name


def context_of(request: Any, side: Side) -> dict[str, Any]:
    """What a task sees of its call."""
    names = ("id", "task", "args", "kwargs", "root_id", "parent_id", "group", "retries", "timelimit", "expires", "eta")
    more = ("correlation_id", "shadow", "headers", "delivery_info", "ignore_result", "lang", "reply_to", "origin")
    return {name: getattr(request, name) for name in names + more} | {"side": side.name}


def _declare_retries(app: App, side: Side) -> None:
    @app.task(name="again", bind=True)
    def again(self: Any, times: int, countdown: float) -> list[Any]:
        if self.request.retries < times:
            raise self.retry(countdown=side.pause(countdown), exc=side.boom("not yet"))
        return [side.name, self.request.retries]

    automatic = {"max_retries": 3, "countdown": 0.1}

    @app.task(name="automatic", bind=True, autoretry_for=(side.boom,), retry_kwargs=automatic)
    def automatically(self: Any, times: int) -> list[Any]:
        if self.request.retries < times:
            raise side.boom("not yet")
        return [side.name, self.request.retries]

    @app.task(name="exhausted", bind=True, max_retries=1)
    def exhausted(self: Any, with_error: bool) -> None:
        raise self.retry(countdown=side.pause(0), exc=side.boom("for good", 1) if with_error else None)

    @app.task(name="move", bind=True)
    def move(self: Any, queue: str) -> dict[str, Any]:
        """Retries itself once, in another queue."""
        if self.request.retries == 0:
            raise self.retry(queue=queue, countdown=side.pause(0))
        return context_of(self.request, side)

    @app.task(name="retried_then_gated", bind=True)
    def retried_then_gated(self: Any, key: str, queue: str, eta: str) -> str:
        """Retries itself once, in another queue; waits at the gate then."""
        if self.request.retries == 0:
            raise self.retry(queue=queue, eta=datetime.fromisoformat(eta))
        side.journal.note(key, side.name)
        side.journal.pass_gate(key)
        return side.name


def _declare_callbacks(app: App, side: Side) -> None:
    @app.task(name="called", bind=True)
    def called(self: Any, result: Any, key: str) -> dict[str, Any]:
        side.journal.note(key, f"{side.name} {result}")
        return context_of(self.request, side)

    @app.task(name="old_errback")
    def old_errback(task_id: str) -> None:
        side.journal.note(task_id, f"{side.name} old")

    @app.task(name="new_errback")
    def new_errback(request: Any, exc: BaseException, traceback: Any) -> None:
        side.journal.note(request.id, f"{side.name} new {type(exc).__name__}{exc.args}")

    @app.task(name="sends")
    def sends(queue: str) -> str:
        return str(app.send_task("add", (1, 2), queue=queue).id)


def _declare_members(app: App, side: Side) -> None:
    @app.task(name="fails_at_gate")
    def fails_at_gate(key: str) -> None:
        side.journal.note(key, side.name)
        side.journal.pass_gate(key)
        raise ValueError(key)

    @app.task(name="adds_member", bind=True)
    def adds_member(self: Any, queues: list[str]) -> str:
        for queue in queues:
            self.add_to_chord(app.signature("where", queue=queue))
        return side.name

    @app.task(name="stamped", bind=True)
    def stamped(self: Any, *_: Any) -> Any:
        return self.request.stamps


def _declare_awkward(app: App, side: Side) -> None:
    @app.task(name="fails")
    def fails(*args: Any) -> None:
        raise side.boom(*args)

    @app.task(name="raises")
    def raises(*args: Any) -> None:
        raise ValueError(*args)

    @app.task(name="refuses", acks_late=True, bind=True)
    def refuses(self: Any, who: str, key: str) -> str:
        """One side hands it back, the other one runs it."""
        side.journal.note(key, side.name)
        if side.name == who:
            raise side.reject("not mine", requeue=True)
        return side.name

    @app.task(name="rejects", acks_late=True)
    def rejects() -> None:
        raise side.reject("not wanted", requeue=False)

    @app.task(name="hurried")
    def hurried(key: str) -> str:
        try:
            side.journal.pass_gate(key)
        except side.soft_limit:
            return "cleaned up"
        return "passed"

    @app.task(name=f"only_{side.name}")
    def only_here() -> str:
        return side.name
