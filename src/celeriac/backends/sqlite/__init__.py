"""The result backend on one SQLite file."""

from celeriac.backends.sqlite.backend import SQLiteBackend

__all__ = ["SQLiteBackend"]
