"""The whole contract of a broker."""

from __future__ import annotations

from celeriac.testing.conformance.crowds import CrowdCases
from celeriac.testing.conformance.fencing import FencingCases
from celeriac.testing.conformance.leases import LeaseCases, RecoveryCases
from celeriac.testing.conformance.queues import DueCases, OrderCases, WaitingCases
from celeriac.testing.conformance.settling import (
    DeadLetterCases,
    OneStepCases,
    SettlingCases,
    UnfencedCases,
    UpkeepCases,
)


class BrokerConformance(
    OrderCases,
    DueCases,
    WaitingCases,
    LeaseCases,
    RecoveryCases,
    FencingCases,
    SettlingCases,
    OneStepCases,
    UnfencedCases,
    DeadLetterCases,
    UpkeepCases,
    CrowdCases,
):
    """Override the fixtures `make_broker` and `make_backend`; every test starts with an empty store.

    Example:
        >>> class TestMyBroker(BrokerConformance):
        ...     @pytest.fixture
        ...     def make_broker(self, clock):
        ...         store = new_empty_store()
        ...         return lambda: MyBroker(store, clock=clock)
    """
