"""Where results live: the backend contract, and the backends behind it."""

from celeriac.backends.opening import BACKEND_SETTINGS, open_backend

__all__ = ["BACKEND_SETTINGS", "open_backend"]
