"""Options of connections, as they stand in transport options, URLs and settings: names are checked, values are read.

Knows no option by name: which ones there are is each family's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.spelling import near_names

_FALSE: Final = frozenset({"0", "f", "false", "n", "no", "off", ""})


class Options:
    """Options by name, checked: unknown ones are refused, values are read when they are asked for.

    Args:
        given: as the user wrote them.
        setting: where, for errors.

    Example:
        >>> Options({"socket_timeout": "2.5"}, "broker_transport_options").seconds("socket_timeout", 5.0)
        2.5
    """

    def __init__(self, given: Mapping[str, Any], setting: str) -> None:
        self._given = given
        self._setting = setting

    def seconds(self, name: str, default: float) -> float:
        """A duration above 0; None stands for the default, since every wait has an end."""
        return self._number(name, default, least=0.0, above=True)

    def interval(self, name: str, default: float) -> float:
        """A duration; 0 for never."""
        return self._number(name, default, least=0.0)

    def count(self, name: str, default: int | None, least: int) -> int | None:
        """A whole number."""
        value = self._given.get(name)
        if value is None:
            return default
        number = self._number(name, 0.0, least=least)
        if number != int(number):
            raise self._wrong(name, f"a whole number from {least} up")
        return int(number)

    def truth(self, name: str, default: bool) -> bool:
        """Yes or no."""
        value = self._given.get(name)
        if isinstance(value, str):
            return value.lower() not in _FALSE
        return default if value is None else bool(value)

    def text(self, name: str, default: str | None = None) -> str | None:
        """Text."""
        value = self._given.get(name)
        if value is None or isinstance(value, str):
            return value if value is not None else default
        raise self._wrong(name, "text")

    def mapping(self, name: str) -> Mapping[Any, Any] | None:
        """A dictionary."""
        value = self._given.get(name)
        if value is None or isinstance(value, Mapping):
            return value
        raise self._wrong(name, "a dictionary", show=False)

    def get(self, name: str) -> Any:
        """The value as it was written; None if it was not."""
        return self._given.get(name)

    def _number(self, name: str, default: float, *, least: float, above: bool = False) -> float:
        value = self._given.get(name)
        if value is None:
            return default
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if isinstance(value, bool) or not least <= number < float("inf") or (above and number == least):
            raise self._wrong(name, f"a number {'above' if above else 'from'} {least:g}{'' if above else ' up'}")
        return number

    def _wrong(self, name: str, expected: str, *, show: bool = True) -> ImproperlyConfigured:
        shown = f"={self._given[name]!r}" if show else ""
        return ImproperlyConfigured(f"{self._setting} has {name}{shown}; expected {expected}")


def check_names(given: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Refuse options that nobody knows.

    Raises:
        ImproperlyConfigured: names the unknown one and the nearest that is known.
    """
    unknown = sorted(set(given) - known)
    if unknown:
        near = near_names(unknown[0], known, cutoff=0.6)
        instead = f"did you mean {near[0]!r}?" if near else f"known ones: {', '.join(sorted(known))}"
        raise ImproperlyConfigured(f"{where} has the unknown option {unknown[0]!r}; {instead}")
