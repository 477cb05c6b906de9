"""Transport options of the Redis broker that are not what they should be."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.brokers import open_broker
from celeriac.exceptions import ImproperlyConfigured


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"priority_steps": [3, 6]}, r"priority_steps is \[3, 6\]"),
        ({"priority_steps": 5}, "priority_steps is 5"),
        ({"priority_steps": [0, 3, 12]}, "from 0 to 9"),
        ({"priority_steps": [0, 6, 3]}, "ascending"),
        ({"priority_steps": []}, "ascending from 0"),
        ({"priority_steps": ["0"]}, "priority_steps"),
        ({"sep": 3}, "sep is 3"),
        ({"sep": ""}, "sep is ''"),
        ({"queue_order_strategy": "random"}, "round_robin, sorted, priority"),
    ],
)
def test_wrong_options_are_refused_with_the_cure(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=told):
        open_broker("redis://localhost", options)


def test_the_number_of_levels_is_the_number_of_steps() -> None:
    assert open_broker("redis://localhost").capabilities.priorities == 4
    assert open_broker("redis://localhost", {"priority_steps": list(range(10))}).capabilities.priorities == 10
