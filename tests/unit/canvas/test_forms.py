"""Chains, groups and chords as data: made, copied, read back from JSON. What `|` makes of them is compared with Celery
in the interop tests."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from canvas_tasks import Tasks
from celeriac import Celeriac, Signature, chain, chord, chunks, group, maybe_signature, signature, xmap

Make = Callable[[Tasks], Signature[Any]]

WORKFLOWS: dict[str, Make] = {
    "chain": lambda t: chain(t.add.s(1, 2), t.add.s(3)),
    "group": lambda t: group(t.add.s(1, 2), t.add.s(3, 4)),
    "lazy group": lambda t: group(t.add.s(n, n) for n in range(3)),
    "chord": lambda t: chord([t.add.s(1, 2), t.add.s(3, 4)], t.total.s()),
    "nested": lambda t: chain(t.add.s(1, 2), group(t.add.s(3), chain(t.add.s(4), t.add.s(5))), t.total.s()),
    "map": lambda t: t.add.starmap([(1, 2), (3, 4)]),
    "chunks": lambda t: t.add.chunks([(1, 2), (3, 4)], 1),
}


@pytest.fixture(params=list(WORKFLOWS))
def workflow(request: pytest.FixtureRequest, tasks: Tasks) -> Signature[Any]:
    return WORKFLOWS[request.param](tasks)


def as_json(sig: Signature[Any]) -> Any:
    return json.loads(json.dumps(sig, default=lambda value: value.__json__()))


def signatures_in(value: Any) -> Iterator[Signature[Any]]:
    if isinstance(value, Signature):
        yield value
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for part in value:
        yield from signatures_in(part)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda sig: sig.clone(), signature, lambda sig: maybe_signature(sig, clone=True)],
)
def test_a_copy_is_the_same_and_shares_no_signature(
    workflow: Signature[Any], copied: Callable[[Signature[Any]], Signature[Any]]
) -> None:
    twin = copied(workflow)
    assert type(twin) is type(workflow)
    assert as_json(twin) == as_json(workflow)
    shared = {id(one) for one in signatures_in(twin)} & {id(one) for one in signatures_in(workflow)}
    assert not shared
    assert twin.app is workflow.app


def test_it_comes_back_from_json_and_pickle(workflow: Signature[Any], app: Celeriac) -> None:
    plain = as_json(workflow)
    read = signature(plain, app=app)
    assert as_json(read) == plain == as_json(pickle.loads(pickle.dumps(workflow)))
    assert type(read) is (Signature if workflow.subtask_type is None else type(workflow))
    assert read.app is app
    assert plain == as_json(workflow), "what was read is left as it was"
    nested = [one for one in signatures_in(read) if one is not read]
    assert all(one.app is app for one in nested)
    if workflow.subtask_type is not None:
        assert nested


def test_tasks_are_live(tasks: Tasks) -> None:
    steps = chain(tasks.add.s(1, 2), tasks.add.s(3))
    members = group([tasks.add.s(1, 2)])
    header = chord([tasks.add.s(1, 2)], tasks.total.s())
    for one in (steps, members, header):
        one.tasks.append(tasks.add.s(9, 9))
    assert repr(steps) == "sums.add(1, 2) | add(3) | add(9, 9)"
    assert repr(members) == "group([sums.add(1, 2), add(9, 9)])"
    assert repr(header) == "%sums.total([add(1, 2), add(9, 9)])"
    assert len(members) == 2
    header.header.tasks.pop()
    assert len(header.tasks) == len(header.header) == 1
    header.tasks = [tasks.add.s(5, 5)]
    header.body = {"task": "sums.echo"}
    members.tasks = steps.tasks = [{"task": "sums.add", "args": [1, 1]}]
    assert [repr(one) for one in (steps, members, header)] == [
        "sums.add(1, 1)", "group([sums.add(1, 1)])", "%sums.echo([add(5, 5)])",
    ]  # fmt: skip


def test_a_generator_is_read_when_it_is_needed_and_once(tasks: Tasks) -> None:
    read: list[int] = []

    def members() -> Iterator[Signature[Any]]:
        for number in range(3):
            read.append(number)
            yield tasks.add.s(number, number)

    lazy = group(members())
    assert lazy.is_lazy
    assert not lazy.is_empty
    assert repr(lazy) == "group(<a generator>)"
    assert read == []
    assert lazy.app is tasks.add.app
    assert read == [0], "the first one says whose app it is"
    steps = tasks.add.s(1, 2) | lazy
    assert isinstance(steps, chain)
    assert read == [0, 1, 2], "a group of one would be that one"
    assert len(lazy.clone()) == len(lazy) == 3
    assert read == [0, 1, 2]
    assert steps.tasks[1] == lazy


def test_a_generator_can_be_streamed_and_is_gone_then(tasks: Tasks) -> None:
    lazy = group(tasks.add.s(number, number) for number in range(3))
    assert [one.args for one in lazy.stream()] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(RuntimeError, match=r"give group\(\) a list"):
        _ = lazy.tasks
    kept = group([tasks.add.s(1, 1)])
    assert [list(kept.stream()), list(kept.stream())] == [kept.tasks, kept.tasks]


def test_what_chain_makes_is_of_the_class_that_it_is(tasks: Tasks) -> None:
    class Logged(chain[Any]):
        pass

    two = group(tasks.add.s(1, 1), tasks.add.s(2, 2))
    made: dict[type, Signature[Any]] = {
        chain: chain(tasks.add.s(1, 1), tasks.add.s(2)),
        Logged: Logged(tasks.add.s(1, 1), tasks.add.s(2)),
        chord: chain(two, tasks.total.s()),
        group: chain([two]),
    }
    assert [type(one) for one in made.values()] == list(made)
    assert type(chain([group()])) is chain
    assert chain(two, tasks.total.s(), queue="q").options == {"queue": "q"}
    assert chain().tasks == []


def test_a_long_chain_is_made_in_one_pass(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = 0
    plain = Signature.clone

    def counted(self: Signature[Any], *args: Any, **options: Any) -> Signature[Any]:
        nonlocal copies
        copies += 1
        return plain(self, *args, **options)

    monkeypatch.setattr(Signature, "clone", counted)
    assert len(chain(tasks.add.s(1) for _ in range(2000)).tasks) == 2000
    assert copies < 3 * 2000


def test_wrong_parts_are_refused_where_they_are_given(tasks: Tasks) -> None:
    async def nothing() -> None:
        """Never run."""

    wrong: list[tuple[Any, str]] = [
        (tasks.add, r"write add\.s\("),
        ("sums.add", r"write signature\('sums\.add'\)"),
        ([tasks.add.s(1, 1)], r"write group\("),
        (5, "not 5"),
        (None, "not None"),
        ({"args": []}, r"write group|expected a signature"),
        (tasks.add(1, 1), r"not 2 \(int\): write task\.s\("),
        (tasks.add.delay(1, 1), r"sent already: write task\.s\("),
        (group([tasks.add.s(1, 1)]).apply_async(), r"sent already: write task\.s\("),
    ]
    for value, cure in wrong:
        for make in (
            lambda value: chain(tasks.add.s(1, 1), value),
            lambda value: group(tasks.add.s(1, 1), value),
            lambda value: chord([tasks.add.s(1, 1), value], tasks.total.s()),
            lambda value: tasks.add.s(1, 1) | value,
            lambda value: group([tasks.add.s(1, 1)]) | value,
        ):
            with pytest.raises(TypeError, match=cure):
                make(value)
    with pytest.raises(TypeError, match=r"not task\("):
        group(nothing())
    with pytest.raises(TypeError, match=r"chord\(header\)\(body\)"):
        chord([tasks.add.s(1, 1)]).apply_async()
    with pytest.raises(TypeError, match="as a list, not 'ab'"):
        tasks.add.map("ab")
    with pytest.raises(ValueError, match="at least 1"):
        tasks.add.chunks([], 0)
    with pytest.raises(TypeError, match="use a chord"):
        group(tasks.add.s(1, 1)).apply_async(link=tasks.echo.s())
    with pytest.raises(TypeError, match=r"group\.link_error"):
        group(tasks.add.s(1, 1)).apply_async(link_error=tasks.echo.s())
    with pytest.raises(TypeError, match="did you mean 'countdown'"):
        chain(tasks.add.s(1, 1)).apply_async(coutndown=3)  # type: ignore[call-arg]


def test_links_of_a_chord_on_its_header(tasks: Tasks, app: Celeriac) -> None:
    app.conf.task_allow_error_cb_on_chord_header = True
    inner = chord([tasks.add.s(1, 1)], tasks.total.s())
    outer = chord([inner, tasks.add.s(2, 2)], tasks.total.s())
    errback = tasks.echo.s("failed")
    assert outer.link_error(errback) is errback
    assert outer.body.options == {"link_error": [errback]}
    for one in (outer.tasks[1], inner.tasks[0], inner.body):
        assert one.options["link_error"] == [errback]
        assert one.options["link_error"][0] is not errback


def test_user_types_are_found_by_name() -> None:
    @Signature.register_type("hourly")
    class Hourly(Signature[Any]):
        @classmethod
        def from_dict(cls, data: Any, app: Celeriac | None = None) -> Signature[Any]:
            made = super().from_dict(data, app)
            made.options["expires"] = 3600
            return made

    made = signature({"task": "sweep", "subtask_type": "hourly", "options": {}})
    assert isinstance(made, Hourly)
    assert made.options == {"expires": 3600}


def test_maps_and_chunks(tasks: Tasks) -> None:
    mapped: xmap[list[int]] = tasks.total.map([[1], [2, 3]])
    assert repr(mapped) == "[sums.total(x) for x in [[1], [2, 3]]]"
    assert repr(tasks.add.starmap([(number, number) for number in range(50)])).endswith(" (10, 10), (11,...]")
    parts = tasks.add.chunks(((n, n) for n in range(5)), 2)
    assert isinstance(parts, chunks)
    assert [len(part.kwargs["it"]) for part in parts.group().tasks] == [2, 2, 1]
