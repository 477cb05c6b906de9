"""Which cases hold for which brokers: by their capabilities, and by what the harness says of its clock.

A case that can not hold is skipped with the reason; another one beside it shows what such a broker does instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from celeriac.brokers.base import Broker, Capabilities
    from celeriac.testing.conformance.support import Harness, MakeBroker

Cases = TypeVar("Cases", bound=Callable[..., object])


def only_if(holds: Callable[[Capabilities, Harness], bool], otherwise: str) -> Callable[[Cases], Cases]:
    """Make a decorator for a case, or a class of them, all of which take `make_broker`.

    Args:
        holds: whether they hold for a broker with these capabilities in this harness.
        otherwise: why they do not.
    """
    return _only_where(lambda broker, harness: holds(broker.capabilities, harness), otherwise)


def _only_where(holds: Callable[[Broker, Harness], bool], otherwise: str) -> Callable[[Cases], Cases]:
    def decorate(cases: Cases) -> Cases:
        if isinstance(cases, type):
            for name, case in list(vars(cases).items()):
                if name.startswith("test_"):
                    setattr(cases, name, guarded(case))
            return cast("Cases", cases)
        return cast("Cases", guarded(cases))

    def guarded(case: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(case)
        def run(self: Harness, *, make_broker: MakeBroker, **others: Any) -> None:
            if not holds(make_broker(), self):
                pytest.skip(otherwise)
            case(self, make_broker=make_broker, **others)

        return run

    return decorate


leases_end_by_time: Final = only_if(lambda can, _: can.timed_leases, "a lease ends with its connection, at no set time")
leases_end_with_connections: Final = only_if(lambda can, _: not can.timed_leases, "a lease ends by time")
has_levels: Final = only_if(lambda can, _: can.priorities > 1, "there is one level for all priorities")
has_one_level: Final = only_if(lambda can, _: can.priorities == 1, "there are levels")
gives_back_to_front: Final = only_if(lambda can, _: can.returns_to_front, "what is given back goes to the back")
gives_back_to_back: Final = only_if(lambda can, _: not can.returns_to_front, "what is given back goes to the front")
sees_future_work: Final = only_if(lambda can, _: can.sees_future_work, "nobody can look into future work")
never_sees_future_work: Final = only_if(lambda can, _: not can.sees_future_work, "future work is seen")
has_exchanges: Final = only_if(lambda can, _: can.exchanges, "there are no exchanges")
browses_dead_letters: Final = only_if(lambda can, _: can.browse_dead_letters, "dead letters can not be shown")
has_bounded_names: Final = only_if(lambda can, _: can.longest_name is not None, "a queue's name may have any length")
takes_all_properties: Final = only_if(lambda can, _: can.all_properties, "only known properties of a message travel")
drops_properties: Final = only_if(lambda can, _: not can.all_properties, "properties may have any name")
time_can_be_turned: Final = only_if(lambda _, harness: not harness.due_by_real_time, "work becomes due in real time")
time_is_real: Final = only_if(lambda _, harness: harness.due_by_real_time, "a virtual clock says what is due")
joins_chords: Final = _only_where(lambda broker, _: broker.chords is not None, "this broker joins no chords")
