"""For tests of programs that use Celeriac, and for authors of brokers and result backends."""

from celeriac.testing.clock import VirtualClock

__all__ = ["VirtualClock"]
