"""What RabbitMQ's errors become."""

from __future__ import annotations

import socket
import ssl

import pytest
from amqp import exceptions as theirs

from celeriac.exceptions import CeleriacError, OperationalError, StoreRefused
from celeriac.storage.rabbitmq.errors import breaks_link, closes_channel, translate_error

WHERE = "amqp://me@mq:5672/jobs"
PUBLISH = (60, 40)


def said(code: int, text: str, method: tuple[int, int] | None = PUBLISH) -> theirs.AMQPError:
    assert method is not None
    return theirs.error_for_code(code, text, method, theirs.ConnectionError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            said(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details", (0, 0)),
            ["refuses the login", "correct user and password", "broker_login_method"],
        ),
        (
            said(530, "NOT_ALLOWED - access to vhost 'jobs' refused for user 'me'", (10, 40)),
            ["refuses the virtual host", "set_permissions"],
        ),
        (said(530, "NOT_ALLOWED - vhost jobs not found", (10, 40)), ["no such virtual host", "add_vhost"]),
        (said(404, "NOT_FOUND - no exchange 'x' in vhost 'jobs'"), ["no exchange 'x'", "declare it"]),
        (said(404, "NOT_FOUND - no queue 'q' in vhost 'jobs'"), ["no queue 'q'", "declare it"]),
        (
            said(403, "ACCESS_REFUSED - access to exchange 'x' in vhost 'jobs' refused for user 'me'"),
            ["refuses this to the user", "set_permissions"],
        ),
        (said(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q'"), ["exclusive"]),
        (
            said(406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/'"),
            ["other arguments", "delete it"],
        ),
        (
            said(406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 5"),
            ["consumer_timeout"],
        ),
        (said(320, "CONNECTION_FORCED - broker forced connection closure"), ["stopping", "try again"]),
        (said(541, "INTERNAL_ERROR"), ["is lost", "INTERNAL_ERROR"]),
        (theirs.ConnectionError("Couldn't find appropriate auth mechanism"), ["broker_login_method"]),
        (theirs.RecoverableConnectionError("connection already closed"), ["is lost", "already closed"]),
        (ConnectionRefusedError(111, "Connection refused"), ["can not reach", "refused", "start the server"]),
        (socket.gaierror(-2, "Name or service not known"), ["can not reach", "correct the host"]),
        (TimeoutError("timed out"), ["did not answer in time", "confirm_timeout"]),
    ],
)
def test_errors_say_where_what_and_the_cure(error: Exception, words: list[str]) -> None:
    translated = translate_error(error, WHERE)
    assert isinstance(translated, OperationalError)
    for word in [WHERE, *words]:
        assert word in str(translated)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED: self-signed certificate"), "ca_certs"),
        (ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED: Hostname mismatch, not 'mq'"), "server_hostname"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "speak TLS at this port"),
        (TimeoutError("timed out"), "speak TLS at this port"),
    ],
)
def test_errors_of_tls(error: Exception, word: str) -> None:
    assert word in str(translate_error(error, "amqps://me@mq:5671//"))


def test_what_will_never_be_taken() -> None:
    error = said(406, "PRECONDITION_FAILED - message size 200 is larger than configured max size 100")
    assert isinstance(translate_error(error, WHERE), StoreRefused)
    ours = CeleriacError("ours")
    assert translate_error(ours, WHERE) is ours


def test_what_ends_a_channel_and_what_a_connection() -> None:
    for error in (said(404, "NOT_FOUND - no queue"), said(406, "PRECONDITION_FAILED"), said(403, "ACCESS_REFUSED")):
        assert closes_channel(error)
        assert not breaks_link(error)
    others: list[BaseException] = [
        said(403, "ACCESS_REFUSED - Login was refused", (0, 0)),
        said(320, "CONNECTION_FORCED"),
        said(530, "NOT_ALLOWED", (10, 40)),
        TimeoutError(),
        KeyboardInterrupt(),
    ]
    for other in others:
        assert not closes_channel(other)
        assert breaks_link(other)
