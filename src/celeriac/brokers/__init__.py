"""Where messages live: the broker contract, and the brokers behind it."""

from celeriac.brokers.opening import broker_url_of, open_broker

__all__ = ["broker_url_of", "open_broker"]
