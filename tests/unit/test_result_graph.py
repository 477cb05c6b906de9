"""Graphs of dependencies, and their text for Graphviz."""

from __future__ import annotations

import io

import pytest

from celeriac.result_graph import CycleError, DependencyGraph, GraphFormatter


@pytest.fixture
def house() -> DependencyGraph[str]:
    return DependencyGraph([("roof", ["walls", "beams"]), ("walls", ["ground"]), ("beams", ["ground"]), ("ground", [])])


def test_what_depends_on_what(house: DependencyGraph[str]) -> None:
    order = house.topsort()
    assert order[0] == "ground"
    assert order[-1] == "roof"
    assert sorted(order) == sorted(house)
    assert list(house.edges()) == ["roof", "walls", "beams"]
    assert [house.valency_of(thing) for thing in ("roof", "walls", "ground", "cellar")] == [4, 1, 0, 0]
    assert (len(house), "roof" in house, "cellar" in house, house["walls"]) == (4, True, False, ["ground"])
    assert dict(house.items()) == house.adjacent
    assert house.format("roof") == "roof"


def test_growing(house: DependencyGraph[str]) -> None:
    house.add_arc("cellar")
    house.add_edge("ground", "cellar")
    house.update([("garden", ["ground"])])
    house.connect(DependencyGraph([("street", [])]))
    assert house.topsort()[:1] != ["roof"]
    assert house["garden"] == ["ground"]
    assert "street" in house
    with pytest.raises(KeyError):
        house.add_edge("unknown", "ground")


def test_a_circle_has_no_order() -> None:
    graph = DependencyGraph([("a", ["b"]), ("b", ["a"])])
    with pytest.raises(CycleError):
        graph.topsort()
    with pytest.raises(CycleError):
        graph.valency_of("a")


def test_a_graph_may_be_deeper_than_python_recurses() -> None:
    graph = DependencyGraph((number, [number + 1] if number < 5000 else []) for number in range(5001))
    assert graph.topsort()[0] == 5000
    assert graph.valency_of(0) == 5000


def test_for_graphviz() -> None:
    graph = DependencyGraph([('a "quoted" one', ["b"]), ("b", [])])
    file = io.StringIO()
    graph.to_dot(file, GraphFormatter(root="a", shape="oval"))
    head, first, edge, last, tail = file.getvalue().splitlines()[1:]
    assert file.getvalue().startswith("digraph dependencies {\n")
    assert 'root="a"' in head
    assert first.startswith('    "a \\"quoted\\" one" [shape="oval"')
    assert edge.startswith('    "a \\"quoted\\" one" -> "b" [')
    assert last.startswith('    "b" [')
    assert tail == "}"
    assert repr(graph) == 'a "quoted" one(1)\n     b(0)\nb(0)'


def test_a_graph_without_directions() -> None:
    graph = DependencyGraph([("a", ["b"]), ("b", [])], formatter=GraphFormatter(type="graph", id="mine", indent=1))
    file = io.StringIO()
    graph.to_dot(file)
    assert file.getvalue().startswith("    graph mine {\n")
    assert '"a" -- "b"' in file.getvalue()
    with pytest.raises(ValueError, match="digraph"):
        GraphFormatter(type="tree")
