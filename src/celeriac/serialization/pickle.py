"""Pickle, for those who trust all their senders.

Reading a pickle runs whatever its sender put there; `celeriac.serialization.decode` lets one in only if it is among the
accepted content types, which it is not by default.
"""

from __future__ import annotations

from typing import Any, Final

from celeriac.exceptions import DecodeError

#: The protocol that Celery's peers write; all supported Pythons read it.
_PROTOCOL: Final = 4


def encode_pickle(value: object) -> bytes:
    """Return `value` as a pickle.

    Raises:
        TypeError: it can not be pickled.
    """
    import pickle  # noqa: PLC0415 - start-up time

    try:
        return pickle.dumps(value, protocol=_PROTOCOL)
    except Exception as error:
        raise TypeError(f"not picklable: {type(error).__name__}: {error}") from error


def decode_pickle(body: bytes) -> Any:
    """Return the value of a pickle.

    Raises:
        DecodeError: not a pickle, or one whose classes are not here.
    """
    import pickle  # noqa: PLC0415 - start-up time

    try:
        return pickle.loads(body)
    except Exception as error:
        raise DecodeError(f"the body can not be unpickled: {type(error).__name__}: {error}") from error
