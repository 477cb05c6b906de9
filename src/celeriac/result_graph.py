"""A graph of things and what they depend on, and its text in the language of Graphviz.

Owns Celery's names for it. Knows nothing of results.
"""

from __future__ import annotations

from collections.abc import Hashable, ItemsView, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, Generic, TextIO, TypeVar

__all__ = ["CycleError", "DependencyGraph", "GraphFormatter"]

T = TypeVar("T", bound=Hashable)

_ARROWS: Final[Mapping[str, str]] = {"graph": "--", "digraph": "->"}


class GraphFormatter:
    """How a graph looks in Graphviz. Override `label`, or give attributes.

    Args:
        root: what the graph begins with.
        type: `digraph`, or `graph` for edges without a direction.
        id: the graph's name.
        indent: how deep the whole text is indented.
        inw: what one step of that is.
        **scheme: attributes of all nodes and edges, such as `shape="oval"`.
    """

    scheme: Mapping[str, Any] = {"shape": "box", "arrowhead": "vee", "style": "filled", "fontname": "HelveticaNeue"}
    edge_scheme: Mapping[str, Any] = {"color": "darkseagreen4", "arrowcolor": "black", "arrowsize": 0.7}
    node_scheme: Mapping[str, Any] = {"fillcolor": "palegreen3", "color": "palegreen4"}
    term_scheme: Mapping[str, Any] = {"fillcolor": "palegreen1", "color": "palegreen2"}
    graph_scheme: Mapping[str, Any] = {"bgcolor": "mintcream"}

    def __init__(
        self,
        root: object = None,
        type: str | None = None,  # noqa: A002 - Celery's name
        id: str | None = None,  # noqa: A002 - Celery's name
        indent: int = 0,
        inw: str = " " * 4,
        **scheme: Any,
    ) -> None:
        self.id = id or "dependencies"
        self.root = root
        self.type = type or "digraph"
        if self.type not in _ARROWS:
            raise ValueError(f"the type of a graph is 'digraph' or 'graph', not {self.type!r}")
        self.direction = _ARROWS[self.type]
        self._outer, self._inner = inw * indent, inw * (indent + 1)
        self.scheme = {**self.scheme, **scheme}

    def __call__(self, obj: object) -> str:
        return str(self.label(obj))

    def label(self, obj: object) -> object:
        """What stands for a node. Nodes with the same label are one."""
        return obj

    def attrs(self, given: Mapping[str, Any], scheme: Mapping[str, Any]) -> str:
        """Attributes as text."""
        merged = {**self.scheme, **scheme, **given}
        return ", ".join(f"{name}={_quoted(value)}" for name, value in merged.items())

    def head(self, **attrs: Any) -> str:
        """How the text begins."""
        root = {} if self.root is None else {"root": self.label(self.root)}
        graph = self.attrs(attrs, {**self.graph_scheme, **root})
        return f"{self._outer}{self.type} {self.id} {{\n{self._inner}graph [{graph}]"

    def tail(self) -> str:
        """How it ends."""
        return f"{self._outer}}}"

    def node(self, obj: object, **attrs: Any) -> str:
        """A node that depends on others."""
        return f"{self._inner}{_quoted(self.label(obj))} [{self.attrs(attrs, self.node_scheme)}]"

    def terminal_node(self, obj: object, **attrs: Any) -> str:
        """A node that depends on nothing."""
        return f"{self._inner}{_quoted(self.label(obj))} [{self.attrs(attrs, self.term_scheme)}]"

    def edge(self, a: object, b: object, **attrs: Any) -> str:
        """`a` depends on `b`."""
        ends = f"{_quoted(self.label(a))} {self.direction} {_quoted(self.label(b))}"
        return f"{self._inner}{ends} [{self.attrs(attrs, self.edge_scheme)}]"


class DependencyGraph(Generic[T]):
    """Things, and for each of them those it depends on.

    Args:
        it: pairs of a thing and its dependencies.
        formatter: how the graph looks.

    Example:
        >>> graph = DependencyGraph([("roof", ["walls"]), ("walls", ["ground"]), ("ground", [])])
        >>> graph.topsort()
        ['ground', 'walls', 'roof']

    Attributes:
        adjacent: by thing, what it depends on.
        formatter: how the graph looks.
    """

    def __init__(
        self, it: Iterable[tuple[T, Iterable[T]]] | None = None, formatter: GraphFormatter | None = None
    ) -> None:
        self.formatter = formatter or GraphFormatter()
        self.adjacent: dict[T, list[T]] = {}
        if it is not None:
            self.update(it)

    def add_arc(self, obj: T) -> None:
        """Add a thing, unless it is there."""
        self.adjacent.setdefault(obj, [])

    def add_edge(self, a: T, b: T) -> None:
        """Note that `a`, which is there, depends on `b`."""
        self.adjacent[a].append(b)

    def connect(self, graph: DependencyGraph[T]) -> None:
        """Take in another graph."""
        self.adjacent.update(graph.adjacent)

    def update(self, it: Iterable[tuple[T, Iterable[T]]]) -> None:
        """Add things with their dependencies."""
        pairs = [(obj, list(dependencies)) for obj, dependencies in it]
        for obj, _ in pairs:
            self.add_arc(obj)
        for obj, dependencies in pairs:
            self.adjacent[obj] += dependencies

    def topsort(self) -> list[T]:
        """The things in an order in which each comes after all it depends on.

        Raises:
            CycleError: there is none.
        """
        return list(TopologicalSorter(self.adjacent).static_order())

    def valency_of(self, obj: T) -> int:
        """How many edges lead on from it, and from what they lead to, and so on; 0 for what is not there.

        Raises:
            CycleError: it depends on itself.
        """
        valencies: dict[T, int] = {}
        reached = DependencyGraph((node, self.adjacent.get(node, ())) for node in self._reached(obj))
        for node in reached.topsort():
            valencies[node] = sum(1 + valencies[other] for other in reached.adjacent[node])
        return valencies[obj]

    def _reached(self, obj: T) -> list[T]:
        found = {obj: None}
        nodes = [obj]
        for node in nodes:
            for other in self.adjacent.get(node, ()):
                if other not in found:
                    found[other] = None
                    nodes.append(other)
        return nodes

    def edges(self) -> Iterator[T]:
        """The things that depend on others."""
        return (obj for obj, dependencies in self.adjacent.items() if dependencies)

    def items(self) -> ItemsView[T, list[T]]:
        """Things with what they depend on."""
        return self.adjacent.items()

    def format(self, obj: T) -> str:
        """What stands for a thing."""
        return self.formatter(obj)

    def to_dot(self, fh: TextIO, formatter: GraphFormatter | None = None) -> None:
        """Write the graph for Graphviz.

        Args:
            fh: a file opened as text.
            formatter: how it looks; by default the graph's own.
        """
        draw = formatter or self.formatter
        seen: set[object] = set()
        lines = [draw.head()]
        for obj, dependencies in self.adjacent.items():
            if draw.label(obj) not in seen:
                seen.add(draw.label(obj))
                lines.append(draw.node(obj) if dependencies else draw.terminal_node(obj))
            lines += [draw.edge(obj, other) for other in dependencies]
        lines.append(draw.tail())
        fh.write("\n".join(lines) + "\n")

    def __iter__(self) -> Iterator[T]:
        return iter(self.adjacent)

    def __getitem__(self, obj: T) -> list[T]:
        return self.adjacent[obj]

    def __len__(self) -> int:
        return len(self.adjacent)

    def __contains__(self, obj: object) -> bool:
        return obj in self.adjacent

    def __repr__(self) -> str:
        return "\n".join(self.repr_node(obj) for obj in self.adjacent)

    def repr_node(self, obj: T, level: int = 1, fmt: str = "{0}({1})") -> str:
        """A thing and below it what it depends on, each with its valency."""
        lines = [fmt.format(obj, self.valency_of(obj))]
        for other in self.adjacent.get(obj, ()):
            lines.append("     " * level + fmt.format(other, self.valency_of(other)))
            lines += self.repr_node(other, level + 1, fmt).split("\n")[1:]
        return "\n".join(lines)


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
