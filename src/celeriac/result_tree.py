"""What was before a result, and what came of it: parents, children, and the members of groups among them.

Owns the walks. Knows nothing of how a single result is read or waited for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from celeriac import states
from celeriac.exceptions import ChordError, IncompleteStream
from celeriac.result_graph import DependencyGraph, GraphFormatter
from celeriac.result_looks import Look, look_at, look_for

if TYPE_CHECKING:
    from celeriac.result import AnyResult, AsyncResult
    from celeriac.result_set import ResultSet


class SingleResult:
    """The part of `AsyncResult` that walks along what came of it; the rest is the subclass's."""

    __slots__ = ()

    @property
    def children(self) -> list[AnyResult] | None:
        """Results of the tasks and groups that it sent."""
        raise NotImplementedError

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[AnyResult | None, AnyResult]]:
        """This result and all that came of it, each with the one it came of; nearer ones first.

        Args:
            intermediate: go past those that are not done yet.

        Raises:
            IncompleteStream: one of them is not done.
        """
        found: list[tuple[AnyResult | None, AnyResult]] = [(None, _as_result(self))]
        for parent, node in found:
            yield parent, node
            if node.ready():
                found += [(node, child) for child in node.children or ()]
            elif not intermediate:
                raise _incomplete(node)

    async def aiterdeps(self, intermediate: bool = False) -> AsyncIterator[tuple[AnyResult | None, AnyResult]]:
        """`iterdeps` for asyncio."""
        found: list[tuple[AnyResult | None, AnyResult]] = [(None, _as_result(self))]
        for parent, node in found:
            yield parent, node
            if await node.aready():  # what is done is known here then, and with it its children
                found += [(node, child) for child in node.children or ()]
            elif not intermediate:
                raise _incomplete(node)

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[AnyResult, Any]]:
        """This result and all that came of it, each with its value, which is waited for.

        Args:
            intermediate: as in `iterdeps`.
            **kwargs: as in `get`.

        Raises:
            IncompleteStream: as `iterdeps`; what is waited for here is done.
        """
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**kwargs)

    async def acollect(self, intermediate: bool = False, **kwargs: Any) -> AsyncIterator[tuple[AnyResult, Any]]:
        """`collect` for asyncio."""
        async for _, node in self.aiterdeps(intermediate=intermediate):
            yield node, await node.aget(**kwargs)

    def get_leaf(self) -> Any:
        """The value of the last result of `iterdeps`, each of which is waited for."""
        value = None
        for _, node in self.iterdeps():
            value = node.get()
        return value

    async def aget_leaf(self) -> Any:
        """`get_leaf` for asyncio."""
        value = None
        async for _, node in self.aiterdeps():
            value = await node.aget()
        return value

    def build_graph(self, intermediate: bool = False, formatter: GraphFormatter | None = None) -> DependencyGraph[Any]:
        """What came of what, as a graph: `graph.to_dot(file)` writes it for Graphviz.

        Args:
            intermediate: as in `iterdeps`.
            formatter: how nodes and edges look.

        Raises:
            IncompleteStream: as `iterdeps`.
        """
        graph: DependencyGraph[Any] = DependencyGraph(formatter=formatter or GraphFormatter(root=self, shape="oval"))
        for parent, node in self.iterdeps(intermediate=intermediate):
            graph.add_arc(node)
            if parent is not None:
                graph.add_edge(parent, node)
        return graph

    @property
    def graph(self) -> DependencyGraph[Any]:
        """`build_graph()`, made anew each time."""
        return self.build_graph()


def ancestors_of(result: AnyResult | ResultSet) -> list[AnyResult]:
    """What was before it in its chain, the first one first."""
    found: list[AnyResult] = []
    node = result.parent
    while node is not None:
        found.append(node)
        node = node.parent
    found.reverse()
    return found


def singles(results: Iterable[AnyResult]) -> Iterator[AsyncResult[Any]]:
    """The results of single tasks among these, and in the groups among these, in order."""
    for result in results:
        if isinstance(result, SingleResult):
            yield result
        else:
            yield from singles(result.results)


def let_go(results: Iterable[AnyResult]) -> list[str]:
    """Drop what is known here of these, and of what was before them. Returns the ids of what is stored."""
    found: dict[str, None] = {}
    for result in results:
        for single in singles([result, *ancestors_of(result)]):
            stored = single.let_go()
            if stored is not None:
                found[stored] = None
    return list(found)


def as_tuple(result: AnyResult, most_parents: int | None = None) -> tuple[tuple[str, Any], list[Any] | None]:
    """See `AsyncResult.as_tuple`. Chains may be longer than Python recurses.

    Args:
        result: the result of a task or of a group.
        most_parents: how many of those before it are told of; None for all. What is deeper nested than some hundred
            levels can not be serialised.
    """
    ancestors = ancestors_of(result)
    stored: tuple[tuple[str, Any], list[Any] | None] | None = None
    for node in (*ancestors[-most_parents if most_parents is not None else 0 :], result):
        members = None if isinstance(node, SingleResult) else [as_tuple(one, most_parents) for one in node.results]
        stored = (node.id, stored), members
    assert stored is not None
    return stored


class FailedBefore(NamedTuple):
    """A task that failed before a result in its chain, and whether it was a member of a group there."""

    task: AsyncResult[Any]
    is_member: bool


def look_before(result: AnyResult | ResultSet) -> Look[FailedBefore | None]:
    """Find what failed before `result` in its chain, and look at `result` itself on the way if it is a single one.

    A group has hundreds of thousands of members at times. They need not be asked when the result is there: what comes
    after a group tells itself of a member that failed.
    """
    ancestors = ancestors_of(result)
    own = [result] if isinstance(result, SingleResult) else []
    plain = [node for node in ancestors if isinstance(node, SingleResult)]
    yield from look_at([*own, *plain])
    is_known = bool(own) and own[0].known_state is not None
    for node in ancestors:
        if isinstance(node, SingleResult):
            if node.known_state in states.PROPAGATE_STATES:
                return FailedBefore(node, False)
        elif not is_known:
            failed = yield from look_for(singles([node]), states.PROPAGATE_STATES.__contains__)
            if failed is not None:
                return FailedBefore(failed, True)
    return None


def raise_error_of(failed: FailedBefore | None) -> None:
    """Raise the exception of what failed, if anything did; of a member of a group as what comes after it will.

    Raises:
        ChordError: a member of a group failed.
        Exception: that of the task before.
    """
    if failed is None:
        return
    if not failed.is_member:
        failed.task.maybe_throw()
    error = failed.task.value()
    raise ChordError(f"Dependency {failed.task.id} raised {error!r}") from error


def _as_result(result: SingleResult) -> AsyncResult[Any]:
    return cast("AsyncResult[Any]", result)


def _incomplete(node: AnyResult) -> IncompleteStream:
    return IncompleteStream(
        f"{node!r} is not done, so what comes of it is not known: get() it first, or pass intermediate=True"
    )
