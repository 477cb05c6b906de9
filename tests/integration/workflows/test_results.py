"""Results of workflows: trees of parents and children, groups, and waiting for them in threads and under asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from celeriac import AsyncResult, GroupResult, chain, chord, group
from celeriac.exceptions import ChordError
from integration.workflows.running import DEADLINE, Site


def test_a_chain_knows_the_steps_before(site: Site) -> None:
    result: Any = chain(site.s("add", 1, 1), site.s("add", 2), site.s("add", 3))()
    assert result.get(timeout=DEADLINE) == 7
    assert result.parent is not None
    assert result.parent.parent is not None
    assert (result.parent.get(timeout=DEADLINE), result.parent.parent.get(timeout=DEADLINE)) == (4, 2)
    assert result.parent.parent.parent is None


def test_a_chain_that_ends_in_a_group_gives_a_group_result(site: Site) -> None:
    result: Any = chain(site.s("add", 1, 1), group([site.s("add", 10), site.s("add", 20)]))()
    assert isinstance(result, GroupResult)
    assert result.get(timeout=DEADLINE) == [12, 22]
    assert isinstance(result.parent, AsyncResult)
    assert result.parent.get(timeout=DEADLINE) == 2
    assert result.successful()
    assert result.completed_count() == 2


def test_the_parent_of_a_chord_is_its_header(site: Site) -> None:
    result: Any = chord([site.s("add", 1, 1), site.s("add", 2, 2)], site.s("total"))()
    assert result.get(timeout=DEADLINE) == 6
    assert isinstance(result.parent, GroupResult)
    assert result.parent.get(timeout=DEADLINE) == [2, 4]


def test_a_chord_in_a_chain_has_what_was_before_as_its_headers_parent(site: Site) -> None:
    result: Any = chain(site.s("add", 1, 1), group([site.s("add", 2), site.s("add", 3)]), site.s("total"))()
    assert result.get(timeout=DEADLINE) == 9
    header = result.parent
    assert isinstance(header, GroupResult)
    assert header.get(timeout=DEADLINE) == [4, 5]
    assert header.parent is not None
    assert header.parent.get(timeout=DEADLINE) == 2


def test_children_are_what_a_step_has_sent(site: Site) -> None:
    result: Any = chain(site.s("add", 1, 1), site.s("add", 2), site.s("add", 3))()
    result.get(timeout=DEADLINE)
    assert result.parent is not None
    first = result.parent.parent
    assert first is not None
    assert [child.id for child in first.children or []] == [result.parent.id]
    assert first.get_leaf() == 7
    assert [value for _, value in first.collect(timeout=DEADLINE)] == [2, 4, 7]


def test_collect_goes_into_groups(site: Site) -> None:
    result: Any = chain(site.s("add", 1, 1), group([site.s("add", 10), site.s("add", 20)]))()
    result.get(timeout=DEADLINE)
    assert isinstance(result.parent, AsyncResult)
    found = [value for _, value in result.parent.collect(timeout=DEADLINE)]
    assert found[0] == 2
    assert sorted(value for value in found[1:] if isinstance(value, int)) == [12, 22]


def test_groups_are_saved_and_restored(site: Site) -> None:
    result = group([site.s("add", 1, 1), site.s("add", 2, 2)])()
    result.save()
    restored = site.app.GroupResult.restore(result.id, app=site.app)
    assert restored is not None
    assert [member.id for member in restored.results] == [member.id for member in result.results]
    assert restored.get(timeout=DEADLINE) == [2, 4]
    restored.delete()
    assert site.app.GroupResult.restore(result.id, app=site.app) is None


def test_a_group_with_a_failure_raises_it(site: Site) -> None:
    result = group([site.s("add", 1, 1), site.s("raises", "boom")])()
    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=DEADLINE)
    good, bad = result.get(timeout=DEADLINE, propagate=False)
    assert good == 2
    assert isinstance(bad, ValueError)
    assert result.failed()


def test_members_come_as_they_are_done(site: Site) -> None:
    result = group([site.s("add", number, 0) for number in range(5)])()
    found = {task_id: meta["result"] for task_id, meta in result.iter_native(timeout=DEADLINE)}
    assert found == {member.id: number for number, member in enumerate(result.results)}


def test_the_error_of_a_chord_names_the_member(site: Site) -> None:
    result: Any = chord([site.s("add", 1, 1), site.s("raises", "boom")], site.s("total"))()
    with pytest.raises(ChordError) as caught:
        result.get(timeout=DEADLINE)
    assert isinstance(result.parent, GroupResult)
    failed = result.parent.results[1].id
    assert str(caught.value) == f"Dependency {failed} raised ValueError('boom')"


def test_a_chord_in_a_header_wraps_the_error_once_more(site: Site) -> None:
    inner = chord([site.s("raises", "boom")], site.s("total"))
    result: Any = chord([inner, site.s("add", 1, 1)], site.s("total"))()
    with pytest.raises(
        ChordError, match=r"Dependency .* raised ChordError\(.*Dependency .* raised ValueError"
    ) as caught:
        result.get(timeout=DEADLINE)
    assert isinstance(result.parent, GroupResult)
    assert f"Dependency {result.parent.results[0].id} raised" in str(caught.value)


def test_all_of_it_under_asyncio(site: Site) -> None:
    async def main() -> list[Any]:
        chained = await chain(site.s("add", 1, 1), site.s("add", 2)).aapply_async()
        grouped = await group([site.s("add", 1, 1), site.s("add", 2, 2)]).aapply_async()
        joined = await chord([site.s("add", 1, 1), site.s("add", 2, 2)], site.s("total")).aapply_async()
        return [await one.aget(timeout=DEADLINE) for one in (chained, grouped, joined)]

    assert asyncio.run(main()) == [4, [2, 4], 6]


def test_a_tilde_sends_and_waits(site: Site) -> None:
    assert ~(site.s("add", 1, 1) | site.s("add", 2)) == 4


def test_a_workflow_can_be_sent_twice(site: Site) -> None:
    made = chord([site.s("add", 1, 1), site.s("add", 2, 2)], site.s("total"))
    first, second = made.apply_async(), made.apply_async()
    assert first.id != second.id
    assert [one.get(timeout=DEADLINE) for one in (first, second)] == [6, 6]


def test_an_id_of_ones_own_is_that_of_the_last_step(site: Site) -> None:
    result: Any = chain(site.s("add", 1, 1), site.s("add", 2)).apply_async(task_id=f"mine-{site.app.broker.address}")
    assert result.id == f"mine-{site.app.broker.address}"
    assert result.get(timeout=DEADLINE) == 4


def test_a_frozen_workflow_has_the_ids_that_it_runs_under(site: Site) -> None:
    made = chain(site.s("add", 1, 1), site.s("add", 2))
    frozen = made.freeze()
    assert made.apply_async().id == frozen.id
    assert site.app.AsyncResult(frozen.id).get(timeout=DEADLINE) == 4
