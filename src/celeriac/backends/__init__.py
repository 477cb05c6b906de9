"""Where results live: the backend contract, and the backends behind it."""

from celeriac.backends.opening import open_backend

__all__ = ["open_backend"]
