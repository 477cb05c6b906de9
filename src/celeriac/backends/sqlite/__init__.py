"""The result backend on one SQLite file."""

from celeriac.backends.sqlite.backend import SQLiteBackend
from celeriac.backends.sqlite.chords import SQLiteChordStore

__all__ = ["SQLiteBackend", "SQLiteChordStore"]
