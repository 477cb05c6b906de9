"""`Task.add_to_chord`: what it costs."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final

import pytest

from celeriac import Celeriac, Task
from celeriac.request import Request, current_request

FEW: Final = 50


@pytest.mark.parametrize("are_same", [True, False], ids=["the same", "different ones"])
def test_adding_many_members_costs_as_much_for_each(app: Celeriac, are_same: bool) -> None:
    @app.task(bind=True)
    def adder(self: Task[Any, Any]) -> None: ...

    @app.task
    def member(*args: int) -> None: ...

    def cost(count: int) -> int:
        """Calls that it takes to add so many."""
        request = Request(id="adder", task=adder.name, group="g", group_index=0, called_directly=False, running=adder)
        request.chord = {"task": member.name, "args": [], "kwargs": {}, "options": {}}
        calls = 0

        def count_call(frame: FrameType, event: str, argument: object) -> None:
            nonlocal calls
            calls += event == "call"

        token, before = current_request.set(request), sys.getprofile()
        sys.setprofile(count_call)
        try:
            members = [member.s() if are_same else member.s(number) for number in range(count)]
            ids = {adder.add_to_chord(one)["options"]["task_id"] for one in members}
        finally:
            sys.setprofile(before)
            current_request.reset(token)
        assert len(ids) == count
        return calls

    cost(1)  # what is made once
    assert cost(4 * FEW) < 5 * cost(FEW)
