"""What errors of RabbitMQ mean: ours for them, and whether connection and channel are still good.

Owns the words. Knows nothing of who asked for what. Addresses that it is given have no passwords, and what RabbitMQ
says has none either.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import Final

from amqp import exceptions as theirs

from celeriac.exceptions import CeleriacError, OperationalError, StoreRefused

# RabbitMQ puts the name of its own code before the text.
_CODE_NAME: Final = re.compile(r"^[A-Z]+(?:_[A-Z]+)+ - ")

# What is wrong and what to do: the first of which the sign is in RabbitMQ's text counts.
_BY_TEXT: Final[dict[str, str]] = {
    "Login was refused": "refuses the login: {text}; correct user and password in the URL (`guest` may only log in "
    "from the server's own machine), or broker_login_method",
    "access to vhost": "refuses the virtual host: {text}; correct the end of the URL ('//' for the default one), or "
    "give the user permissions there (rabbitmqctl set_permissions)",
    "NOT_ALLOWED - vhost": "has no such virtual host, or it is down: {text}; correct the end of the URL ('//' for the "
    "default one), or make it (rabbitmqctl add_vhost)",
    "no exchange": "has no such exchange: {text}; declare it, or correct its name",
    "no queue": "has no such queue: {text}; declare it, or correct its name",
    "inequivalent arg": "has it with other arguments: {text}; declare it with the same, or delete it there first",
    "delivery acknowledgement": "has waited too long for an acknowledgement: {text}; raise consumer_timeout in its "
    "configuration, and the transport option of the same name with it",
    "CONNECTION_FORCED": "has closed the connection: {text}; it is stopping, or an operator did so: try again later",
    "auth mechanism": "has no such way to log in: {text}; correct broker_login_method",
}

# The same by the number of the code.
_BY_CODE: Final[dict[int, str]] = {
    320: "has closed the connection: {text}; it is stopping, or an operator did so: try again later",
    403: "refuses this to the user: {text}; widen the user's permissions (rabbitmqctl set_permissions)",
    405: "keeps this for another connection: {text}; exclusive queues are for the connection that declared them",
    506: "is out of something: {text}; look into its log, and at its limits",
    530: "does not allow this: {text}",
}

# What the same message will get for ever.
_FINAL: Final = ("larger than configured max size", "user_id property set", "invalid expiration")


def translate_error(error: Exception, address: str) -> CeleriacError:
    """Our exception for one of py-amqp's or of the operating system's; one of ours comes back as it is.

    Args:
        error: what was raised.
        address: whose it is, without any password.

    Returns:
        `StoreRefused` if the same thing can never succeed, else `OperationalError`. To be raised `from error`.

    Example:
        >>> print(translate_error(theirs.NotFound("NOT_FOUND - no queue 'q' in vhost '/'"), "amqp://me@db:5672//"))
        amqp://me@db:5672// has no such queue: no queue 'q' in vhost '/'; declare it, or correct its name
    """
    if isinstance(error, CeleriacError):
        return error
    if isinstance(error, theirs.AMQPError):
        return _of_amqp(error, address)
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, socket.gaierror):
        return OperationalError(f"can not reach {address}: {text}; correct the host in the URL")
    if isinstance(error, TimeoutError):
        return OperationalError(
            f"{address} did not answer in time ({text}); is it up, and is the way to it free? "
            f"broker_connection_timeout and the transport options confirm_timeout and read_timeout say how long to "
            f"wait{_tls_doubt(address)}"
        )
    if isinstance(error, OSError | EOFError):
        return OperationalError(
            f"can not reach {address}: {text}; start the server, or correct the URL{_tls_hint(error, text)}"
        )
    return OperationalError(f"{address}: {type(error).__name__}: {text}")


def breaks_link(error: BaseException) -> bool:
    """The connection is of no use any more: it is gone, or in an unknown state. Only errors of a channel leave it."""
    return not closes_channel(error)


def closes_channel(error: BaseException) -> bool:
    """RabbitMQ has closed the channel, and the connection goes on."""
    if isinstance(error, theirs.AccessRefused) and _is_of_connection(error):
        return False
    return isinstance(error, theirs.ChannelError)


def _is_of_connection(error: theirs.AMQPError) -> bool:
    """A refused login comes without a method, a refused virtual host with one of class 10 (connection)."""
    return error.method_sig is None or error.method_sig[0] in {0, 10}


def _of_amqp(error: theirs.AMQPError, address: str) -> CeleriacError:
    said = " ".join(str(error.reply_text or error.message or type(error).__name__).split())
    text = _CODE_NAME.sub("", said).rstrip(".")
    if any(words in text for words in _FINAL):
        return StoreRefused(f"{address} will not take this message: {text}")
    for sign, words in _BY_TEXT.items():
        if sign in said:
            return OperationalError(f"{address} {words.format(text=text)}")
    if error.reply_code in _BY_CODE:
        return OperationalError(f"{address} {_BY_CODE[error.reply_code].format(text=text)}")
    if isinstance(error, theirs.ConnectionError):
        return OperationalError(f"the connection to {address} is lost: {text}; try again")
    return OperationalError(f"{address}: {text}")


def _tls_doubt(address: str) -> str:
    """A server that does not speak TLS waits for the rest of a command where a client waits for the server."""
    return ". Does the server speak TLS at this port?" if address.startswith("amqps") else ""


def _tls_hint(error: Exception, text: str) -> str:
    if "IP address mismatch" in text or "Hostname mismatch" in text:
        return (
            ". Its certificate is for another name: use that one in the URL, or set server_hostname in broker_use_ssl"
        )
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ". Its certificate is not trusted: name its authority with ca_certs in broker_use_ssl"
    if isinstance(error, ssl.SSLError):
        return ". Does the server speak TLS at this port?"
    return ""
