"""What errors of Redis become."""

from __future__ import annotations

import socket

import pytest
from redis import exceptions as theirs

from celeriac.exceptions import NotSupported, OperationalError, StoreRefused
from celeriac.storage.redis.errors import breaks_link, translate_error

ADDRESS = "redis://me@db:6379/0"


@pytest.mark.parametrize(
    ("error", "words", "breaks"),
    [
        (theirs.ConnectionError("Error 111 connecting to db:6379. Connection refused."), "can not reach", True),
        (ConnectionResetError(104, "Connection reset by peer"), "can not reach", True),
        (EOFError(), "can not reach redis://me@db:6379/0: EOFError", True),
        (socket.gaierror(-2, "Name or service not known"), "correct the URL", True),
        (theirs.TimeoutError("Timeout reading from socket"), "did not answer in time", True),
        (TimeoutError(), "did not answer in time (TimeoutError)", True),
        (theirs.InvalidResponse("Protocol Error: b'x'"), "Protocol Error", True),
        (theirs.BusyLoadingError("Redis is loading the dataset in memory"), "still loading", True),
        (theirs.AuthenticationError("invalid username-password pair"), "correct user and password", True),
        (theirs.ResponseError("WRONGPASS invalid username-password pair"), "correct user and password", True),
        (theirs.NoPermissionError("this user has no permissions to run 'evalsha'"), "widen its ACL", False),
        (theirs.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "out of memory", False),
        (theirs.ReadOnlyError("You can't write against a read only replica."), "is a replica", True),
        (theirs.ResponseError("UNBLOCKED force unblock from blocking operation"), "become a replica", True),
        (theirs.MasterDownError("Link with MASTER is down"), "lost its master", True),
        (theirs.ClusterDownError("The cluster is down"), "cluster that is down", True),
        (theirs.MovedError("3999 127.0.0.1:6381"), "redis+cluster://", True),
        (theirs.AskError("3999 127.0.0.1:6381"), "on their way", True),
        (theirs.TryAgainError("Multiple keys request during rehashing of slot"), "moving the keys", False),
        (theirs.ClusterCrossSlotError("Keys in request don't hash to the same slot"), "several slots", False),
        (theirs.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "takes no writes", False),
        (theirs.ResponseError("NOREPLICAS Not enough good replicas to write."), "min-replicas-to-write", False),
        (theirs.ResponseError("BUSY Redis is busy running a script."), "busy with a script", False),
        (theirs.ResponseError("unknown command 'BLMOVE', with args beginning with: "), "Redis 6.2 or later", False),
        (theirs.ResponseError("something new"), "redis://me@db:6379/0: something new", False),
        # as servers before version 7 tell of errors inside scripts
        (
            theirs.ResponseError("Error running script (call to f_ab): @user_script:1: -OOM command not allowed"),
            "is out of memory",
            False,
        ),
        (
            theirs.ResponseError("Error running script (call to f_ab): -READONLY You can't write"),
            "use sentinel://",
            True,
        ),
    ],
)
def test_trying_again_may_help(error: Exception, words: str, breaks: bool) -> None:
    mapped = translate_error(error, ADDRESS)
    assert type(mapped) is OperationalError
    assert words in str(mapped)
    assert ADDRESS in str(mapped)
    assert "{" not in str(mapped)
    assert breaks_link(error) is breaks


@pytest.mark.parametrize(
    "error",
    [
        theirs.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        theirs.ResponseError("string exceeds maximum allowed size (proto-max-bulk-len)"),
        theirs.ResponseError("Protocol error: invalid bulk length"),
        theirs.DataError("Invalid input of type: 'dict'."),
    ],
)
def test_trying_again_never_helps(error: Exception) -> None:
    mapped = translate_error(error, ADDRESS)
    assert type(mapped) is StoreRefused
    assert str(mapped).startswith(f"{ADDRESS} can not keep this: ")
    assert not breaks_link(error)


def test_tls_that_does_not_fit_says_so() -> None:
    untrusted = theirs.ConnectionError("Error 1 connecting: [SSL: CERTIFICATE_VERIFY_FAILED] unable to get issuer.")
    assert "ssl_ca_certs" in str(translate_error(untrusted, ADDRESS))
    plain = theirs.ConnectionError("[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert "speak TLS" in str(translate_error(plain, ADDRESS))


def test_our_own_errors_stay_what_they_are() -> None:
    error = NotSupported("no")
    assert translate_error(error, ADDRESS) is error
