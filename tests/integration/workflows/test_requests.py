"""What tasks see of the workflow around them: who their parent is, where they stand, how and where they were sent."""

from __future__ import annotations

import time
from typing import Any

import pytest

from celeriac import GroupResult, StampingVisitor, chain, chord, group
from integration.workflows.running import DEADLINE, Site


def test_steps_of_a_chain_know_the_one_before_and_the_first(site: Site) -> None:
    result = chain(site.s("sees"), site.s("sees"), site.s("sees"))()
    last = result.get(timeout=DEADLINE)
    [middle] = last["args"]
    [first] = middle["args"]
    assert (first["parent_id"], middle["parent_id"], last["parent_id"]) == (None, first["id"], middle["id"])
    assert {first["root_id"], middle["root_id"], last["root_id"]} == {first["id"]}
    assert last["id"] == result.id


def test_members_know_their_group_and_their_place(site: Site) -> None:
    result = group(site.s("sees") for _ in range(3))()
    seen = result.get(timeout=DEADLINE)
    assert [(one["group"], one["group_index"]) for one in seen] == [(result.id, index) for index in range(3)]


def test_the_body_of_a_chord_is_a_child_of_the_last_member(site: Site) -> None:
    result = chord([site.s("sees"), site.s("sees")], site.s("gathers"))()
    body = result.get(timeout=DEADLINE)
    members = {one["id"]: one for one in body["parts"]}
    assert isinstance(result.parent, GroupResult)
    assert {one["group"] for one in members.values()} == {result.parent.id}
    assert body["parent"] in members
    assert body["root"] == members[body["parent"]]["root_id"]


def test_a_workflow_sent_by_a_task_belongs_to_its_tree(site: Site) -> None:
    sender = site.s("sends_chord").apply_async()
    body_id, group_id = sender.get(timeout=DEADLINE)
    body = site.app.AsyncResult(body_id).get(timeout=DEADLINE)
    assert {one["parent_id"] for one in body["parts"]} == {sender.id}
    assert {one["root_id"] for one in body["parts"]} == {sender.id}
    assert {one["group"] for one in body["parts"]} == {group_id}
    assert body["root"] == sender.id


def test_each_member_goes_where_its_signature_says(site: Site) -> None:
    members = [site.s("sees", queue="other", priority=3), site.s("sees", priority=5), site.s("sees", queue="other")]
    parts = chord(members, site.s("gathers", queue="other"))().get(timeout=DEADLINE)["parts"]
    assert [one["queue"] for one in parts] == ["other", "celery", "other"]
    assert [one["priority"] for one in parts][:2] == [3, 5]


@pytest.mark.parametrize("inherit", [True, False])
def test_a_body_has_the_priority_of_the_member_that_completed_the_header(
    site: Site, inherit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.app.conf, "task_inherit_parent_priority", inherit)
    body = chord([site.s("sees", priority=6), site.s("sees", priority=6)], site.s("gathers"))().get(timeout=DEADLINE)
    assert {one["priority"] for one in body["parts"]} == {6}
    assert body["priority"] == (6 if inherit else 0)


def test_each_step_goes_where_its_signature_says(site: Site) -> None:
    last = chain(site.s("sees"), site.s("sees", queue="other", priority=4), site.s("sees"))().get(timeout=DEADLINE)
    [middle] = last["args"]
    assert (middle["queue"], middle["priority"], last["queue"]) == ("other", 4, "celery")


def test_options_of_the_call_are_for_the_members(site: Site) -> None:
    result = group([site.s("sees"), site.s("sees")]).apply_async(queue="other")
    assert [one["queue"] for one in result.get(timeout=DEADLINE)] == ["other", "other"]


def test_a_member_with_a_countdown_is_waited_for(site: Site) -> None:
    began = time.monotonic()
    header = [site.s("add", 1, 1, countdown=0.5), site.s("add", 2, 2)]
    assert chord(header, site.s("total"))().get(timeout=DEADLINE) == 6
    assert time.monotonic() - began >= 0.5


def test_a_step_with_a_countdown_is_waited_for(site: Site) -> None:
    began = time.monotonic()
    assert chain(site.s("add", 1, 1), site.s("add", 2, countdown=0.5))().get(timeout=DEADLINE) == 4
    assert time.monotonic() - began >= 0.5


def test_the_countdown_of_a_chord_is_its_headers(site: Site) -> None:
    began = time.monotonic()
    result = chord([site.s("add", 1, 1)], site.s("total")).apply_async(countdown=0.5)
    assert result.get(timeout=DEADLINE) == 2
    assert time.monotonic() - began >= 0.5


def test_members_whose_results_are_not_stored_still_count(site: Site) -> None:
    header = [site.s("unstored", 1), site.s("unstored", 2), site.s("add", 1, 2, ignore_result=True)]
    assert chord(header, site.s("total"))().get(timeout=DEADLINE) == 6


def test_steps_whose_results_are_not_stored_hand_them_on(site: Site) -> None:
    assert chain(site.s("unstored", 1), site.s("add", 2))().get(timeout=DEADLINE) == 3


class _Stamps(StampingVisitor):
    """Stamps each signature with its task's name, and all with one value."""

    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
        return {"named": sig.task, "tenant": "acme", "stamped_headers": ["named", "tenant"]}


@pytest.mark.parametrize("kind", ["chain", "group", "chord"])
def test_stamps_arrive_everywhere(site: Site, kind: str) -> None:
    sees = site.s("sees")
    kinds: dict[str, Any] = {
        "chain": chain(sees, sees),
        "group": group(sees, sees),
        "chord": chord([sees, sees], site.s("gathers")),
    }
    made = kinds[kind]
    made.stamp(_Stamps())
    value: Any = made.apply_async().get(timeout=DEADLINE)
    if kind == "chain":
        value = [value, *value["args"]]
    seen = value["parts"] if kind == "chord" else value
    assert len(seen) == 2
    for one in seen:
        assert sorted(one["stamped_headers"]) == ["named", "tenant"]
        assert {name: _first(stamp) for name, stamp in one["stamps"].items()} == {"named": "sees", "tenant": "acme"}


def _first(stamp: Any) -> Any:
    """Celery makes lists of stamps that come to a task in two ways."""
    return stamp[0] if isinstance(stamp, list) else stamp


def test_a_task_can_add_members_to_its_chord(site: Site) -> None:
    header = [site.s("adds_member", 1, 100), site.s("adds_member", 2, 200), site.s("add", 3, 0)]
    assert chord(header, site.s("total"))().get(timeout=DEADLINE) == 306


def test_what_is_in_no_chord_can_not_add_to_it(site: Site) -> None:
    with pytest.raises(ValueError, match="chord"):
        site.s("adds_member", 1, 100).apply_async().get(timeout=DEADLINE)


def test_waiting_for_a_group_in_a_task_is_refused(site: Site) -> None:
    with pytest.raises(RuntimeError, match=r"calls get\(\)"):
        site.s("waits_inside").apply_async().get(timeout=DEADLINE)
