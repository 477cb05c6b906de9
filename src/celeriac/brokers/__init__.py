"""Where messages live: the broker contract, and the brokers behind it."""

from celeriac.brokers.opening import BROKER_SETTINGS, broker_url_of, open_broker

__all__ = ["BROKER_SETTINGS", "broker_url_of", "open_broker"]
