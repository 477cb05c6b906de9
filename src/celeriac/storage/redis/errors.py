"""What errors of Redis mean: ours for them, and whether the connection is still good.

Owns the words. Knows nothing of who asked for what. Of the password it has no need to know: the addresses that it is
given have none, and what Redis answers has none either.
"""

from __future__ import annotations

import re
from typing import Final

from redis import exceptions as theirs

from celeriac.exceptions import CeleriacError, OperationalError, StoreRefused

# Redis's own codes for kinds of errors, where redis-py has taken them off the text.
_CODES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (theirs.BusyLoadingError, "LOADING"),
    (theirs.AuthenticationError, "NOAUTH"),
    (theirs.AuthenticationWrongNumberOfArgsError, "NOAUTH"),
    (theirs.AuthorizationError, "NOAUTH"),
    (theirs.NoPermissionError, "NOPERM"),
    (theirs.OutOfMemoryError, "OOM"),
    (theirs.ReadOnlyError, "READONLY"),
    (theirs.MasterDownError, "MASTERDOWN"),
    (theirs.ClusterDownError, "CLUSTERDOWN"),
    (theirs.MovedError, "MOVED"),
    (theirs.AskError, "ASK"),
    (theirs.TryAgainError, "TRYAGAIN"),
    (theirs.ClusterCrossSlotError, "CROSSSLOT"),
    (theirs.NoScriptError, "NOSCRIPT"),
)

# What is wrong and what to do, by code.
_WORDS: Final[dict[str, str]] = {
    "LOADING": "is still loading its data; try again when it has",
    "NOAUTH": "refuses the login: {text}; correct user and password in the URL",
    "NOPERM": "does not permit this to the user: {text}; widen its ACL, which must allow all keys and channels that "
    "begin with the key prefix",
    "OOM": "is out of memory: {text}; raise maxmemory, or make room",
    "READONLY": "is a replica and takes no writes; connect to the master, or use sentinel:// to be led to it",
    "MASTERDOWN": "is a replica that has lost its master: {text}; try again when there is a master",
    "CLUSTERDOWN": "belongs to a cluster that is down: {text}; try again when all its slots are served",
    "MOVED": "says that another node has the keys now ({text}); for a cluster the URL must begin with redis+cluster://",
    "ASK": "says that the keys are on their way to another node ({text}); try again when they are there",
    "TRYAGAIN": "is moving the keys to another node: {text}; try again when they are there",
    "CROSSSLOT": "is a cluster, and the keys are in several slots; use redis+cluster://, which keeps them in one",
    "NOSCRIPT": "has forgotten a script: {text}; try again",
    "MISCONF": "takes no writes: {text}; look into its log",
    "NOREPLICAS": "takes no writes, for lack of replicas: {text}; start them, or lower min-replicas-to-write",
    "DB": "has no such database (DB {text}); correct the number at the end of the URL, or raise `databases` there",
    "BUSY": "is busy with a script: {text}; try again later",
    "UNBLOCKED": "has become a replica meanwhile: {text}; try again, which asks for the new master",
    "EXECABORT": "has dropped a transaction: {text}",
}

# Codes after which another server must be asked, or the same one anew.
_BREAKING: Final = frozenset(
    {"NOAUTH", "READONLY", "UNBLOCKED", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "LOADING"}
)

# Replies that the same command will get for ever.
_FINAL: Final = ("WRONGTYPE", "string exceeds maximum allowed size", "invalid bulk length", "invalid multibulk length")

_UNKNOWN_COMMAND: Final = "unknown command"
#: How Redis 7.0 says NOPERM inside a script.
_SCRIPT_MAY_NOT: Final = "user executing the script can't"
#: Where in a script an error came up: of no use to whoever reads it.
_PLACE_IN_SCRIPT: Final = re.compile(r"\.? script: [0-9a-f]{40}, on @user_script:\d+")


def translate_error(error: Exception, location_address: str) -> CeleriacError:
    """Our exception for one of redis-py's or of the operating system's; one of ours comes back as it is.

    Args:
        error: what was raised, or the error reply that was read.
        location_address: whose it is, without any password.

    Returns:
        `StoreRefused` if the same command can never succeed, else `OperationalError`. To be raised `from error`.

    Example:
        >>> print(translate_error(theirs.ReadOnlyError("You can't write against a read only replica."), "redis://db:6379/0"))
        redis://db:6379/0 is a replica and takes no writes; connect to the master, or use sentinel:// to be led to it
    """
    if isinstance(error, CeleriacError):
        return error
    text = _PLACE_IN_SCRIPT.sub("", " ".join(str(error).split())).rstrip(".") or type(error).__name__
    if isinstance(error, theirs.DataError) or any(words in text for words in _FINAL):
        return StoreRefused(f"{location_address} can not keep this: {text}")
    code = "DB" if text.startswith("DB index") else _code(error, text)
    if code in _WORDS:
        return OperationalError(f"{location_address} {_WORDS[code].format(text=text.removeprefix(code + ' '))}")
    if isinstance(error, TimeoutError | theirs.TimeoutError):
        return OperationalError(
            f"{location_address} did not answer in time ({text}); is it up, and is the way to it free? The socket "
            f"timeouts among the transport options say how long to wait{_tls_doubt(location_address)}"
        )
    if isinstance(error, theirs.ConnectionError | OSError | EOFError):
        return OperationalError(
            f"can not reach {location_address}: {text}; start the server, or correct the URL{_tls_hint(text)}"
        )
    if _UNKNOWN_COMMAND in text:
        return OperationalError(f"{location_address}: {text}; Celeriac needs Redis 6.2 or later, or Valkey")
    return OperationalError(f"{location_address}: {text}")


def breaks_link(error: Exception) -> bool:
    """The connection must be thrown away: it is in an unknown state, or its server is not the one to ask any more."""
    if isinstance(error, OSError | EOFError):  # TimeoutError is an OSError
        return True
    if isinstance(error, theirs.ConnectionError | theirs.TimeoutError | theirs.InvalidResponse):
        return True
    return _code(error, str(error)) in _BREAKING


def _code(error: Exception, text: str) -> str:
    """Redis's code of an error reply, empty if it has none."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    if isinstance(error, theirs.ResponseError):
        if _SCRIPT_MAY_NOT in text:
            return "NOPERM"
        # Servers before version 7 put the code of an error inside a script into the middle of the text.
        found = re.search(r"(?:^|-)([A-Z]{3,})\b", text)
        if found is not None:
            return "NOAUTH" if found[1] == "WRONGPASS" else found[1]
    return ""


def _tls_doubt(address: str) -> str:
    """A server that does not speak TLS waits for the rest of a command where a client waits for the server."""
    return ". Does the server speak TLS at this port?" if address.startswith(("rediss", "valkeys")) else ""


def _tls_hint(text: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ". Its certificate is not trusted: name its authority with ssl_ca_certs"
    if "WRONG_VERSION_NUMBER" in text or "SSL" in text:
        return ". Does the server speak TLS at this port?"
    return ""
