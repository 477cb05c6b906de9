"""Tasks that show what they see of the workflow around them, or change it."""

from __future__ import annotations

from typing import Any

from celeriac import Celeriac, Signature, chord, group
from celeriac.exceptions import Ignore, Reject
from celeriac.task import Task


def declare(app: Celeriac) -> None:
    """Declare all of them in `app`."""
    _declare_seeing(app)
    _declare_changing(app)


def _declare_seeing(app: Celeriac) -> None:
    @app.task(name="sees", bind=True)
    def sees(self: Task[Any, Any], *args: Any) -> dict[str, Any]:
        request = self.request
        names = ("id", "root_id", "parent_id", "group", "group_index", "stamps", "stamped_headers", "ignore_result")
        where = request.delivery_info or {}
        seen = {name: getattr(request, name) for name in names}
        return seen | {"args": args, "queue": where["routing_key"], "priority": where["priority"]}

    @app.task(name="gathers", bind=True)
    def gathers(self: Task[Any, Any], parts: list[Any]) -> dict[str, Any]:
        request = self.request
        priority = (request.delivery_info or {})["priority"]
        return {
            "parts": parts,
            "id": request.id,
            "root": request.root_id,
            "parent": request.parent_id,
            "priority": priority,
        }

    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="unstored", ignore_result=True)
    def unstored(value: Any) -> Any:
        return value

    @app.task(name="raises")
    def raises(*args: Any) -> None:
        raise ValueError(*args)

    @app.task(name="ignores")
    def ignores() -> None:
        raise Ignore

    @app.task(name="rejects")
    def rejects() -> None:
        raise Reject("spoilt", requeue=False)


def _declare_changing(app: Celeriac) -> None:
    @app.task(name="sends_chord")
    def sends_chord() -> list[str | None]:
        result = chord([app.signature("sees"), app.signature("sees")], app.signature("gathers"))()
        return [result.id, result.parent.id if result.parent is not None else None]

    @app.task(name="adds_member", bind=True)
    def adds_member(self: Task[Any, Any], value: int, more: int) -> int:
        self.add_to_chord(app.signature("add", (more, 0)))
        return value

    @app.task(name="replaces_itself", bind=True)
    def replaces_itself(self: Task[Any, Any], replacement: dict[str, Any]) -> Any:
        raise self.replace(Signature.from_dict(replacement, app))

    @app.task(name="waits_inside")
    def waits_inside() -> Any:
        return group([app.signature("add", (1, 1))])().get(timeout=5)
