"""Where messages live: the broker contract, and the brokers behind it."""

from celeriac.brokers.opening import open_broker

__all__ = ["open_broker"]
