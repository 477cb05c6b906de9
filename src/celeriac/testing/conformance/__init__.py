"""The contract of brokers and result backends as tests: subclass these in a test module of your own.

A class named `Test...` that inherits from `BrokerConformance` or `BackendConformance` and overrides the fixtures
`make_broker` and `make_backend` is all that is needed; see `celeriac.testing.conformance.support`. For readable
failures call `pytest.register_assert_rewrite("celeriac.testing.conformance")` in a `conftest.py`.
"""

from celeriac.testing.conformance.backend import BackendConformance
from celeriac.testing.conformance.broker import BrokerConformance
from celeriac.testing.conformance.support import MakeBackend, MakeBroker

__all__ = ["BackendConformance", "BrokerConformance", "MakeBackend", "MakeBroker"]
