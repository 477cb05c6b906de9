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
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta, tzinfo
from typing import Any, Final, Literal, Protocol

from celeriac.config.censor import censor
from celeriac.exceptions import ImproperlyConfigured

_TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "n", "f"})
_NONE: Final = frozenset({"", "none", "null"})
_PER_SECOND: Final = {"s": 1, "ms": 1000}


class _MismatchError(Exception):
    """The value does not fit this alternative of the type."""


class Row(Protocol):
    """What must be known of a setting to check its value: the fields of `SettingInfo` that say so."""

    # fmt: off
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Any: ...
    @property
    def default(self) -> Any: ...
    @property
    def unit(self) -> str: ...
    @property
    def at_least(self) -> float | None: ...
    @property
    def at_most(self) -> float | None: ...
    @property
    def above(self) -> float | None: ...
    @property
    def aliases(self) -> Mapping[Any, Any]: ...
    @property
    def refused(self) -> Mapping[Any, str]: ...
    @property
    def expects(self) -> str: ...
    @property
    def check(self) -> Callable[[Any], Any] | None: ...
    # fmt: on


def convert(row: Row, value: Any) -> Any:
    """The value to keep for the setting `row`.

    Raises:
        ImproperlyConfigured: with the setting's name, the value (unless it is a secret) and what is expected.
    """
    plain = _simplified(row, value)
    instead = row.refused.get(plain) if isinstance(plain, str | int) else None
    if instead is not None:
        raise ImproperlyConfigured(f"setting {row.name!r} is {plain!r}: {instead}")
    try:
        fitted = _fit(row.type, plain)
    except _MismatchError:
        try:
            fitted = _parse(row.type, plain)
        except _MismatchError:
            raise _refusal(row, value, expected(row)) from None
    try:
        return _checked(row, fitted)
    except ValueError as error:
        raise _refusal(row, value, str(error)) from None


def fit(row: Row, value: Any) -> Any:
    """`convert` for what is written in a program: text is never read as a number or a truth.

    Raises:
        TypeError: a value of another type; the text says what is expected.
        ValueError: a value that is out of range or that the row's check refuses; likewise.
    """
    try:
        fitted = _fit(row.type, _simplified(row, value))
    except _MismatchError:
        raise TypeError(expected(row)) from None
    return _checked(row, fitted)


def accepts(row: Row, value: Any) -> bool:
    """Whether `convert` takes this value."""
    try:
        convert(row, value)
    except ImproperlyConfigured:
        return False
    return True


def expected(row: Row) -> str:
    """What may be written for a setting, in words: `a number of seconds above 0, or None`."""
    alternatives = _alternatives(row.type)
    options = [option for option in alternatives if option is not types.NoneType]
    words = row.expects or " or ".join(dict.fromkeys(_words(option, row.unit) for option in options))
    words += _range_words(row)
    return f"{words}, or None" if len(options) < len(alternatives) else words


def _simplified(row: Row, value: Any) -> Any:
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


def _fit(hint: Any, value: Any) -> Any:
    """`value` if it is a `hint`, by type and without reading text."""
    alternatives = _alternatives(hint)
    if len(alternatives) > 1:
        return _first(_fit, alternatives, value)
    origin = typing.get_origin(hint) or hint
    fit = _FITS.get(origin)
    if fit is not None:
        return fit(hint, value)
    if hint is Any or (isinstance(origin, type) and isinstance(value, origin)):
        return value
    raise _MismatchError


def _first(read: Callable[[Any, Any], Any], alternatives: tuple[Any, ...], value: Any) -> Any:
    for alternative in alternatives:
        try:
            return read(alternative, value)
        except _MismatchError:
            continue
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
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and not math.isnan(value):
        return value
    raise _MismatchError


def _fit_literal(option: Any, value: Any) -> Any:
    for choice in typing.get_args(option):
        if type(choice) is type(value) and choice == value:
            return choice
    raise _MismatchError


def _fit_sequence(option: Any, value: Any) -> tuple[Any, ...]:
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
    Sequence: _fit_sequence,
    dict: _fit_dict,
    Callable: _fit_callable,
}


def _parse(hint: Any, text: Any) -> Any:
    """Read a `hint` from text, as environment variables and command lines have it."""
    if not isinstance(text, str):
        raise _MismatchError
    alternatives = _alternatives(hint)
    if len(alternatives) > 1:
        return _first(_parse, alternatives, text)
    parse = _PARSERS.get(typing.get_origin(hint) or hint)
    if parse is None:
        raise _MismatchError
    return _fit(hint, parse(hint, text.strip()))


def _parse_none(_hint: Any, text: str) -> None:
    if text.lower() not in _NONE:
        raise _MismatchError


def _parse_bool(_hint: Any, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise _MismatchError


def _parse_number(hint: Any, text: str) -> Any:
    try:
        return hint(text)
    except ValueError:
        raise _MismatchError from None


def _parse_literal(hint: Any, text: str) -> Any:
    for choice in typing.get_args(hint):
        if str(choice) == text:
            return choice
    raise _MismatchError


def _parse_sequence(_hint: Any, text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parse_dict(_hint: Any, text: str) -> Any:
    import json  # noqa: PLC0415 - rarely needed

    try:
        return json.loads(text)
    except ValueError:
        raise _MismatchError from None


_PARSERS: Final[dict[Any, Callable[[Any, str], Any]]] = {
    types.NoneType: _parse_none,
    bool: _parse_bool,
    int: _parse_number,
    float: _parse_number,
    Literal: _parse_literal,
    Sequence: _parse_sequence,
    dict: _parse_dict,
}


def _checked(row: Row, value: Any) -> Any:
    """`value` if it is in range and passes the row's own check; else a `ValueError` says what is expected."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        too_small = (row.at_least is not None and value < row.at_least) or (
            row.above is not None and value <= row.above
        )
        too_large = row.at_most is not None and value > row.at_most
        endless = isinstance(value, float) and math.isinf(value) and row.default != value
        if too_small or too_large or endless:
            raise ValueError(expected(row))
    if row.check is None or value is None:
        return value
    return row.check(value)


def _refusal(row: Row, value: Any, wanted: str) -> ImproperlyConfigured:
    shown = repr(censor(row.name, value))
    if len(shown) > 200:
        shown = f"{shown[:200]}..."
    return ImproperlyConfigured(f"setting {row.name!r} is {shown} ({type(value).__name__}): expected {wanted}")


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
    if origin is Sequence:
        item = typing.get_args(option)[0]
        return "a list of text" if item is str else "a list"
    if origin is dict:
        return "a dictionary"
    if origin is str and unit == "path":
        return "a path"
    return _PLAIN_WORDS.get(origin, origin.__name__ if isinstance(origin, type) else str(origin))


def _range_words(row: Row) -> str:
    if row.at_least is not None and row.at_most is not None:
        return f" from {row.at_least:g} to {row.at_most:g}"
    if row.at_least is not None:
        return f" of at least {row.at_least:g}" if not row.unit else f", at least {row.at_least:g}"
    if row.above is not None:
        return f" above {row.above:g}"
    return f", at most {row.at_most:g}" if row.at_most is not None else ""
