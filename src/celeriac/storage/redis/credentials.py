"""Where user and password come from when a program of the user's gives them: redis-py's credential providers.

Knows nothing of connections.
"""

from __future__ import annotations

import importlib
from typing import Any

from redis.credentials import CredentialProvider

from celeriac.exceptions import ImproperlyConfigured


def read_provider(given: Any, setting: str) -> CredentialProvider | None:
    """The provider that a setting names.

    Args:
        given: a provider, a class of providers, or the path of one of these: `module.Name` or `module:Name`.
        setting: whose value it is, for errors.

    Raises:
        ImproperlyConfigured: it is none, or can not be imported.

    Example:
        >>> read_provider("redis.credentials.UsernamePasswordCredentialProvider", "a_setting").get_credentials()
        ('',)
    """
    if given is None or given == "":
        return None
    provider = _import(given, setting) if isinstance(given, str) else given
    if callable(provider):  # a class, or a function that makes one
        provider = provider()
    if not isinstance(provider, CredentialProvider):
        raise ImproperlyConfigured(
            f"{setting} is {given!r}, which is no redis.CredentialProvider; name a subclass of it, or give one"
        )
    return provider


def _import(path: str, setting: str) -> Any:
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"{setting} is {path!r}, which can not be imported ({error}); write 'module.Name' of something importable"
        ) from error
