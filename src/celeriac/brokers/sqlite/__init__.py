"""The broker on one SQLite file: several processes on one machine, no server."""

from celeriac.brokers.sqlite.broker import SQLiteBroker

__all__ = ["SQLiteBroker"]
