"""Random trees of workflows for Hypothesis. Small ones come first, so that what fails is shown small."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final

from hypothesis import strategies as st

from integration.workflows.trees import Chain, Chord, Errback, Group, Node, Task

#: How deep composites are nested.
MAX_DEPTH: Final = 4

#: Values that are JSON and come back as they were.
_plain: Final = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["x", "y"]))
_styles: Final = st.sampled_from(["old", "new"])


class _Names:
    """A different name for each part of a tree."""

    def __init__(self) -> None:
        self._numbers = count()

    def __call__(self, letter: str) -> str:
        return f"{letter}{next(self._numbers)}"


Draw = Callable[[st.SearchStrategy[Any]], Any]


class _Drawing:
    """Draws one tree."""

    def __init__(self, draw: Draw, *, failures: bool, replacements: bool) -> None:
        self._draw = draw
        self._failures = failures
        self._replacements = replacements
        self._names = _Names()

    def node(self, depth: int) -> Node:
        """Any node that is at most so deep."""
        if depth == 0 or self._draw(st.integers(0, 2)) == 0:
            return self._task(depth)
        return self.composite(depth)

    def composite(self, depth: int) -> Node:
        """A chain, group or chord that is at most so deep."""
        match self._draw(st.sampled_from(["chain", "group", "chord"])):
            case "chain":
                return self._chain(depth)
            case "group":
                return self._group(depth, smallest=1)
            case _:
                return self._chord(depth)

    def _task(self, depth: int) -> Task:
        task = Task(
            self._names("t"),
            immutable=self._rarely(),
            args=tuple(self._draw(st.lists(_plain, max_size=2))),
            kwargs=(("k", self._draw(_plain)),) if self._rarely() else (),
            links=self._links(),
            errbacks=self._errbacks(),
        )
        if self._failures and self._rarely():
            return task._replace(fails=True)
        if self._replacements and depth and self._rarely():
            return task._replace(replacement=self.node(depth - 1))
        if self._rarely():
            return task._replace(retries=1)
        return task._replace(is_async=self._rarely())

    def _chain(self, depth: int) -> Chain:
        size = self._draw(st.integers(2, 4))
        last = self.node(depth - 1)
        steps = [self._step(depth - 1) for _ in range(size - 1)]
        if steps[0] == Group(()):  # one that is nothing but empty is no chain
            steps[0] = self._task(0)
        links = self._links() if isinstance(last, Task) else ()
        return Chain((*steps, last), self._draw(st.booleans()), links, self._errbacks())

    def _step(self, depth: int) -> Node:
        return Group(()) if self._rarely() else self.node(depth)

    def _group(self, depth: int, smallest: int) -> Group:
        members = tuple(self.node(depth - 1) for _ in range(self._draw(st.integers(smallest, 3))))
        return Group(members, lazy=self._rarely(), errbacks=self._errbacks() if members else ())

    def _chord(self, depth: int) -> Chord:
        header = tuple(self.node(depth - 1) for _ in range(self._draw(st.integers(0, 3))))
        body = self.node(depth - 1)
        links = self._links() if isinstance(body, Task) else ()
        return Chord(header, body, self._draw(st.booleans()), links, self._errbacks())

    def _links(self) -> tuple[Task, ...]:
        if not self._rarely():
            return ()
        return (Task(self._names("l"), immutable=self._rarely(), links=self._links()),)

    def _errbacks(self) -> tuple[Errback, ...]:
        return (Errback(self._names("e"), self._draw(_styles)),) if self._failures and self._rarely() else ()

    def _rarely(self) -> bool:
        return bool(self._draw(st.integers(0, 5)) == 5)


@st.composite
def trees(draw: Draw, *, failures: bool = True, replacements: bool = True) -> Node:
    """Workflows of all kinds.

    Args:
        draw: given by Hypothesis.
        failures: some tasks fail, and there are errbacks.
        replacements: some tasks put other trees in their place.
    """
    drawing = _Drawing(draw, failures=failures, replacements=replacements)
    return drawing.composite(draw(st.integers(1, MAX_DEPTH)))
