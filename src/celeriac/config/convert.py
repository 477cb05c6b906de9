"""From what a user wrote to the value a setting keeps: checked against the row's type and range, or refused.

What is accepted beside the type itself is what configuration files and environment variables hold: whole
numbers for numbers, lists and sets for tuples, timedeltas for seconds, paths for file names, and text for
anything but text.
"""

from __future__ import annotations

import math
import os
import types
import typing
from collections.abc import Callable, Mapping
from datetime import timedelta, tzinfo
from typing import Any, Final, Literal

from celeriac.config.censor import censor
from celeriac.exceptions import ImproperlyConfigured

if typing.TYPE_CHECKING:
    from celeriac.config.table import SettingInfo

_TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "n", "f"})
_NONE: Final = frozenset({"", "none", "null"})
_PER_SECOND: Final = {"s": 1, "ms": 1000}


class _MismatchError(Exception):
    """The value does not fit this alternative of the type."""


def convert(row: SettingInfo, value: Any) -> Any:
    """The value to keep for the setting `row`.

    Raises:
        ImproperlyConfigured: with the setting's name, the value (unless it is a secret) and what is expected.
    """
    plain = _simplified(row, value)
    options = _alternatives(row.type)
    for attempt in (_fit, _parse) if isinstance(plain, str) else (_fit,):
        for option in options:
            try:
                fitted = attempt(option, plain)
            except _MismatchError:
                continue
            return _checked(row, fitted, value)
    raise _refusal(row, value, expected(row))


def expected(row: SettingInfo) -> str:
    """What may be written for a setting, in words: `a number of seconds above 0, or None`."""
    options = [option for option in _alternatives(row.type) if option is not types.NoneType]
    words = " or ".join(dict.fromkeys(_words(option, row.unit) for option in options))
    words += _range_words(row)
    return f"{words}, or None" if len(options) < len(_alternatives(row.type)) else words


def _simplified(row: SettingInfo, value: Any) -> Any:
    """Stand-ins replaced by what they stand for."""
    if isinstance(value, timedelta) and row.unit in _PER_SECOND:
        value = value.total_seconds() * _PER_SECOND[row.unit]
    elif isinstance(value, os.PathLike) and row.unit == "path":
        value = os.fspath(value)
    elif isinstance(value, tzinfo) and row.name == "timezone":
        value = str(value)  # the key, for zoneinfo and pytz alike
    elif row.name.startswith("broker_") and row.name.endswith("url") and isinstance(value, list | tuple):
        # kombu writes several brokers as one text; a single type is easier for all readers
        value = ";".join(value) if all(isinstance(url, str) for url in value) else value
    if isinstance(value, str | int | float) and not isinstance(value, bool) and value in row.aliases:
        return row.aliases[value]
    return value


def _alternatives(hint: Any) -> tuple[Any, ...]:
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if is_union else (hint,)


def _fit(option: Any, value: Any) -> Any:
    """`value` if it is an `option`, by type and without reading text."""
    origin = typing.get_origin(option) or option
    fit = _FITS.get(origin)
    if fit is not None:
        return fit(option, value)
    if option is Any or (isinstance(origin, type) and isinstance(value, origin)):
        return value
    raise _MismatchError


def _fit_bool(_option: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _MismatchError


def _fit_int(_option: Any, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise _MismatchError


def _fit_float(_option: Any, value: Any) -> float:
    # An int stays one: what is set as 30 is shown, and sent in messages, as 30.
    if isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value):
        return value
    raise _MismatchError


def _fit_literal(option: Any, value: Any) -> Any:
    for choice in typing.get_args(option):
        if type(choice) is type(value) and choice == value:
            return choice
    raise _MismatchError


def _fit_tuple(option: Any, value: Any) -> tuple[Any, ...]:
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)  # the same order in every process
    if not isinstance(value, list | tuple):
        raise _MismatchError
    item = typing.get_args(option)[0]
    return tuple(_fit(item, each) for each in value)


def _fit_dict(option: Any, value: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _MismatchError
    key_type, value_type = typing.get_args(option)
    return {_fit(key_type, key): _fit(value_type, inner) for key, inner in value.items()}


def _fit_callable(_option: Any, value: Any) -> Callable[..., Any]:
    if callable(value):
        return typing.cast("Callable[..., Any]", value)
    raise _MismatchError


_FITS: Final[dict[Any, Callable[[Any, Any], Any]]] = {
    bool: _fit_bool,
    int: _fit_int,
    float: _fit_float,
    Literal: _fit_literal,
    tuple: _fit_tuple,
    dict: _fit_dict,
    Callable: _fit_callable,
}


def _parse(option: Any, text: str) -> Any:
    """Read `option` from text, as environment variables and command lines have it."""
    word = text.strip().lower()
    origin = typing.get_origin(option) or option
    if option is types.NoneType and word in _NONE:
        return None
    if option is bool and word in _TRUE | _FALSE:
        return word in _TRUE
    if option is int or option is float:
        try:
            return _fit(option, option(text))
        except ValueError:
            raise _MismatchError from None
    if origin is Literal:
        return next((each for each in typing.get_args(option) if str(each) == text), None) or _no()
    if origin is tuple:
        return _fit(option, [part.strip() for part in text.split(",") if part.strip()])
    if origin is dict and word.startswith("{"):
        return _fit(option, _json(text))
    raise _MismatchError


def _no() -> typing.NoReturn:
    raise _MismatchError


def _json(text: str) -> Any:
    import json  # noqa: PLC0415 - rarely needed

    try:
        return json.loads(text)
    except ValueError:
        raise _MismatchError from None


def _checked(row: SettingInfo, value: Any, written: Any) -> Any:
    """`value` if it is in range and passes the row's own check."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        too_small = (row.at_least is not None and value < row.at_least) or (
            row.above is not None and value <= row.above
        )
        too_large = row.at_most is not None and value > row.at_most
        endless = math.isinf(value) and row.default != value
        if too_small or too_large or endless:
            raise _refusal(row, written, expected(row))
    if row.check is None or value is None:
        return value
    try:
        return row.check(value)
    except ValueError as error:
        raise _refusal(row, written, str(error)) from None


def _refusal(row: SettingInfo, value: Any, wanted: str) -> ImproperlyConfigured:
    shown = repr(censor(row.name, value))
    if len(shown) > 200:
        shown = f"{shown[:200]}..."
    return ImproperlyConfigured(
        f"setting {row.name!r} is {shown} ({type(value).__name__}): expected {wanted}"
    )


_UNIT_WORDS: Final = {"s": " of seconds", "ms": " of milliseconds", "bytes": " of bytes", "KiB": " of KiB"}
_PLAIN_WORDS: Final[dict[Any, str]] = {
    bool: "True or False",
    str: "text",
    type: "a class",
    Any: "anything",
    object: "anything",
    Callable: "a function",
}


def _words(option: Any, unit: str) -> str:
    origin = typing.get_origin(option) or option
    if origin in {int, float}:
        kind = "a whole number" if origin is int else "a number"
        return kind + _UNIT_WORDS.get(unit, "")
    if origin is Literal:
        choices = [repr(choice) for choice in typing.get_args(option)]
        return f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
    if origin is tuple:
        item = typing.get_args(option)[0]
        return "a list of text" if item is str else "a list"
    if origin is dict:
        return "a dictionary"
    if origin is str and unit == "path":
        return "a path"
    return _PLAIN_WORDS.get(origin, origin.__name__ if isinstance(origin, type) else str(origin))


def _range_words(row: SettingInfo) -> str:
    if row.at_least is not None and row.at_most is not None:
        return f" from {row.at_least:g} to {row.at_most:g}"
    if row.at_least is not None:
        return f" of at least {row.at_least:g}" if not row.unit else f", at least {row.at_least:g}"
    if row.above is not None:
        return f" above {row.above:g}"
    return f", at most {row.at_most:g}" if row.at_most is not None else ""
