"""The tasks that trees are made of. One text makes them for Celery and for Celeriac, since the words are the same.

Used in the environments of both, so it knows neither of the two.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from integration.workflows.trees import Words, build, decode

#: Notes under the name of a run what happens in it.
Note = Callable[[str, str], None]


class App(Protocol):
    """What is needed of an app of either side."""

    def task(self, **options: Any) -> Callable[[Callable[..., Any]], object]:
        """Declare a task."""
        ...


_CULPRIT: Final = re.compile(r"ValueError\(\\*['\"]([^'\"\\]*)")


def told(label: str, args: Any, kwargs: Mapping[str, Any]) -> str:
    """What a task notes and returns."""
    shown = [_shown(arg) for arg in args] + [f"{name}={_shown(value)}" for name, value in sorted(kwargs.items())]
    return f"{label}({', '.join(shown)})"


def _shown(value: Any) -> str:
    """Without quotes: values of tasks stand in those of others."""
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list | tuple) else str(value)


def blamed(error: BaseException) -> str:
    """Whose failure an error tells of, and how many chords up: `a` or `a^2`.

    That is all that matters of an error here; what else it has to say has tests of its own.
    """
    text = repr(error)
    [culprit] = _CULPRIT.findall(text) or [text]
    depth = text.count("Dependency ")
    return f"{culprit}^{depth}" if depth else culprit


def declare(app: App, note: Note, words: Words) -> None:
    """Declare all tasks in `app`. What they get beside `label` and `run` is what the model is about."""
    _declare_plain(app, note)
    _declare_odd(app, note, words)
    _declare_errbacks(app, note)


def _declare_plain(app: App, note: Note) -> None:
    @app.task(name="flow.note")
    def plain(*args: Any, label: str, run: str, **kwargs: Any) -> str:
        text = told(label, args, kwargs)
        note(run, text)
        return text

    @app.task(name="flow.fail")
    def fail(*args: Any, label: str, run: str, **kwargs: Any) -> None:
        note(run, told(label, args, kwargs))
        raise ValueError(label)


def declare_async(app: App, note: Note) -> None:
    """The one that Celery can not have."""

    @app.task(name="flow.anote")
    async def soon(*args: Any, label: str, run: str, **kwargs: Any) -> str:
        await asyncio.sleep(0)
        text = told(label, args, kwargs)
        note(run, text)
        return text


def _declare_odd(app: App, note: Note, words: Words) -> None:
    @app.task(name="flow.again", bind=True)
    def again(self: Any, *args: Any, label: str, run: str, retries: int, **kwargs: Any) -> str:
        if self.request.retries < retries:
            raise self.retry(countdown=0)
        text = told(label, args, kwargs)
        note(run, text)
        return text

    @app.task(name="flow.replace", bind=True)
    def replace(self: Any, *args: Any, label: str, run: str, tree: Any, **kwargs: Any) -> Any:
        note(run, told(label, args, kwargs))
        return self.replace(build(decode(tree), words, run))


def _declare_errbacks(app: App, note: Note) -> None:
    @app.task(name="flow.old")
    def old(task_id: str, *, label: str, run: str) -> None:
        note(run, f"{label}!")

    @app.task(name="flow.new")
    def new(request: Any, exc: BaseException, traceback: Any, *, label: str, run: str) -> None:
        note(run, f"{label}! {blamed(exc)}")
