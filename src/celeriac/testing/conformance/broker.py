"""The whole contract of a broker."""

from __future__ import annotations

from celeriac.testing.conformance.chords import BrokerChordCases
from celeriac.testing.conformance.connections import AdoptionCases, ConnectionCases
from celeriac.testing.conformance.crowds import CrowdCases
from celeriac.testing.conformance.due import DueCases, RealDueCases
from celeriac.testing.conformance.exchanges import ExchangeCases
from celeriac.testing.conformance.fencing import FencingCases
from celeriac.testing.conformance.flow import EndCases, SettledShareCases, StartCases
from celeriac.testing.conformance.follow_ups import FollowUpCases
from celeriac.testing.conformance.leases import LeaseCases, RecoveryCases
from celeriac.testing.conformance.queues import OrderCases, WaitingCases
from celeriac.testing.conformance.settling import OneStepCases, SettlingCases, UnfencedCases
from celeriac.testing.conformance.upkeep import DeadLetterCases, UpkeepCases


class BrokerConformance(
    OrderCases,
    DueCases,
    RealDueCases,
    WaitingCases,
    LeaseCases,
    RecoveryCases,
    ConnectionCases,
    AdoptionCases,
    FencingCases,
    SettlingCases,
    FollowUpCases,
    OneStepCases,
    UnfencedCases,
    StartCases,
    SettledShareCases,
    EndCases,
    BrokerChordCases,
    DeadLetterCases,
    UpkeepCases,
    ExchangeCases,
    CrowdCases,
):
    """The whole contract. What a broker can not do, by its capabilities, is skipped, each with its reason.

    Override the fixtures `make_broker` and `make_backend`; every test starts with an empty store.

    Example:
        >>> class TestMyBroker(BrokerConformance):
        ...     @pytest.fixture
        ...     def make_broker(self, clock):
        ...         store = new_empty_store()
        ...         return lambda: MyBroker(store, clock=clock)
    """
